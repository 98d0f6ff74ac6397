"""What a session's page shows of each part of an ad: its current take, the state of its newest one, and its action."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adreel.catalog.sizes import DEFAULT_ASPECT, DEFAULT_RESOLUTION, aspect_of_platform, standard_size
from adreel.errors import AdreelError, InputError
from adreel.models.api import WITHOUT_CLIP, ClipWarning, State, VideoSceneStatus, VideoStatusResponse
from adreel.models.parts import STILLS, VOICES, Part, PartKind, kind_of, label_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription
from adreel.models.spend import Price
from adreel.models.takes import Job, PartRequest, Take
from adreel.purchase.jobs import open_scenes
from adreel.records.choosing import starts_from
from adreel.records.suggestions import (
    Effect,
    SuggestedAction,
    refused_field,
    suggest_action,
    suggest_first,
    why_no_clip,
    without_commands,
)
from adreel.records.views import current_take, scene_status, words_of
from adreel.service import Service
from adreel.service.orders import is_same_order
from adreel.web.pages.offers import Clip, Offer, Offers
from adreel.web.pages.session_records import SessionRecords


@dataclass(frozen=True)
class PartAction:
    """The button of a failed part: a resume of its job, or a new take."""

    action: SuggestedAction
    job_id: str
    token_parts: tuple[str, ...]
    also: dict[Effect, list[Part]] = field(default_factory=dict)
    """Effects of a resume on the other parts of the job: effect -> parts."""
    offer: Offer = field(default_factory=Offer)
    """What it may buy."""
    limit: int | None = None
    """Limit of the resumed job in micro-dollars; None without one."""


@dataclass(frozen=True)
class Wait:
    """How long a take is being made already, and usually."""

    since: datetime
    usual: float | None
    """Seconds."""


@dataclass(frozen=True, kw_only=True)
class PartBoard:
    """One part; its takes are ordered from the oldest."""

    part: Part
    takes: list[Take]
    current: Take | None
    status: VideoSceneStatus | None
    state: State | None
    request: PartRequest | None
    """Order of the next take; None if none can be ordered, or the ad does not ask for one."""
    problems: dict[str, str]
    """Why no take can be ordered, by field of the description; that of "" is all of it."""
    offer: Offer | None
    """The next take, if one can be ordered."""
    action: PartAction | None
    wait: Wait | None
    """While a take is being made."""
    is_changed: bool
    """Whether a take of the present description would be another one than the current take."""
    used: Take | None = None
    """The still that its scene starts from."""

    @property
    def kind(self) -> PartKind:
        """The kind of the part."""
        return kind_of(self.part)

    @property
    def obstacle(self) -> str:
        """Why no take can be ordered."""
        return self.problems.get("", "")

    @property
    def is_busy(self) -> bool:
        """Whether a take is being made."""
        return self.state == State.GENERATING

    def number_of(self, take: Take) -> int:
        """Return the number of a take, from 1 for the oldest."""
        return [each.job_id for each in self.takes].index(take.job_id) + 1

    @property
    def warnings(self) -> list[ClipWarning]:
        """Warnings of the newest take while it has no clip."""
        newest = self.takes[-1] if self.takes else None
        return [] if newest is None or newest.is_stored else newest.warnings

    @property
    def cautions(self) -> list[ClipWarning]:
        """Warnings of the next take that no take on the card has shown."""
        shown = [*self.warnings, *(self.current.warnings if self.current else [])]
        return [each for each in (self.request.warnings if self.request else ()) if each not in shown]

    @property
    def error(self) -> str | None:
        """Why the newest take has failed."""
        if self.status is None or self.status.status != State.FAILED:
            return None
        return why_no_clip(self.status, self.takes[-1] if self.takes else None)

    @property
    def has_other_words(self) -> bool:
        """Whether the words of its current take are not those that are described now."""
        return self.is_changed and self.current is not None and words_of(self.current) != self.words

    @property
    def words(self) -> str:
        """The words of the next take, else those of the current one."""
        if self.request and self.kind in {"voice", "music"}:
            return getattr(self.request, "text", self.request.prompt)
        return words_of(self.current) if self.current else ""


@dataclass(frozen=True, kw_only=True)
class SceneBoard(PartBoard):
    """One scene with its clip, and what is bought for it besides."""

    description: SceneDescription
    size: tuple[int, int]
    is_of_other_facts: bool = False
    """Whether the current clip was made from other facts of the product than the present ones."""
    voice: PartBoard | None = None
    """Its narration, if the ad has a narrator and the scene has words, or a narration was bought."""
    still: PartBoard

    @property
    def scenario(self) -> Scenario:
        """The scenario of the scene."""
        return self.description.scenario

    @property
    def refused_field(self) -> str | None:
        """The field that Runware has refused, while the description is the refused one: a retry can't help."""
        newest = self.takes[-1] if self.takes else None
        is_same = newest is not None and newest.scene == self.description
        return refused_field(newest) if newest and is_same and self.error else None

    @property
    def field_errors(self) -> dict[str, str]:
        """The errors of its form before anything is typed."""
        refused = "Runware refuses this. Change it, then regenerate."
        spoken = self.voice.problems.get("dialog_narration") if self.voice else None
        return {self.refused_field: refused} if self.refused_field else {"dialog_narration": spoken} if spoken else {}


@dataclass(frozen=True)
class PartReader:
    """Makes the boards of one page's parts from what was read for it."""

    service: Service
    offers: Offers
    found: SessionRecords
    followed: list[VideoStatusResponse]
    """The jobs that run, and those that ended without a record."""
    states: Mapping[Part, State]
    """Of the parts with takes."""

    def scene(self, scenario: Scenario) -> SceneBoard:
        """Return a scene with what is bought for it besides."""
        session = self.found.session
        board = self._read(scenario)
        current, voice = board["current"], VOICES[scenario]
        is_outdated = current is not None and not self.service.has_present_facts(session, current)
        return SceneBoard(
            **board,
            description=session.scene(scenario),
            size=self._size(session.scene(scenario), current, board["request"]),
            is_of_other_facts=is_outdated,
            voice=self.part(voice) if self.is_shown(voice) else None,
            still=self.part(STILLS[scenario]),
        )

    def part(self, part: Part) -> PartBoard:
        """Return a part that is bought besides the clips."""
        takes = self.found.takes.get(part, [])
        used = starts_from(self.found.session, part, takes, self.found.choices) if kind_of(part) == "still" else None
        return PartBoard(**self._read(part), used=used)

    def is_shown(self, part: Part) -> bool:
        """Whether the ad asks for a part, or it was bought."""
        return part in self.found.session.parts or bool(self.found.takes.get(part))

    def _read(self, part: Part) -> dict[str, Any]:
        takes = self.found.takes.get(part, [])
        status = self._status(part, takes)
        state = self.states.get(part)
        if status and (state is None or status.status == State.GENERATING):
            state = status.status
        request, problems = self._request(part)
        clips: list[Clip] = [(request, self.service.price(request))] if request else []
        has_failed = status is not None and status.status == State.FAILED
        is_made = bool(takes) and state == State.GENERATING
        current, is_changed = current_take(takes, self.found.choices), False
        if current and request and state != State.GENERATING:
            is_changed = not is_same_order(self.found.session, current.request, request)
        return {
            "part": part,
            "takes": takes,
            "current": current,
            "status": status,
            "state": state,
            "request": request,
            "problems": problems,
            "offer": self.offers.of(clips) if clips else None,
            "action": self._action(part, clips) if has_failed else None,
            "is_changed": is_changed,
            "wait": Wait(takes[-1].created_at, self.offers.wait(takes[-1].request)) if is_made else None,
        }

    def _status(self, part: Part, takes: list[Take]) -> VideoSceneStatus | None:
        # A job without a record counts while it runs, or if it has failed and nothing newer is recorded.
        for job in self.followed:
            for each in job.scenes:
                is_told = each.status == State.GENERATING or (not takes and each.status in WITHOUT_CLIP)
                if each.scenario == part and is_told:
                    return each
        recorded = self.found.job(takes[-1].job_id) if takes else None
        return scene_status(recorded, takes[-1], part) if recorded else None

    def _request(self, part: Part) -> tuple[PartRequest | None, dict[str, str]]:
        """Return the request of the next take, or why there can't be one."""
        session = self.found.session
        if part not in session.parts and kind_of(part) != "still":
            return None, {}
        try:
            return self.service.preview(session, part), {}
        except InputError as error:
            said = str(error) if isinstance(part, Scenario) else str(error).removeprefix(f"{label_of(part)}: ")
            reasons = {**error.fields, "": said}
            return None, {name: without_commands(reason) for name, reason in reasons.items()}

    def _size(self, scene: SceneDescription, current: Take | None, request: PartRequest | None) -> tuple[int, int]:
        """Return the size of the current clip, else the shape that is expected of the next."""
        if current and current.clip:
            return current.clip.width, current.clip.height
        if request and request.width and request.height:
            return request.width, request.height
        session = self.found.session
        options = session.render_options(scene)
        aspect = options.aspect or aspect_of_platform(session.target_platform) or DEFAULT_ASPECT
        width, height = (options.size or standard_size(aspect, DEFAULT_RESOLUTION)).split("x")
        return int(width), int(height)

    def _action(self, part: Part, next_take: list[Clip]) -> PartAction:
        offer, takes = self.offers.of(next_take), self.found.takes.get(part, [])
        if not takes:
            return PartAction(suggest_first(part), "", ("retry", part), offer=offer)
        newest = takes[-1]
        action = self.suggest(newest)
        if not action.resumes:
            return PartAction(action, newest.job_id, ("retry", newest.job_id, part), offer=offer)
        effects, offer = self.resume(newest)
        also = {effect: rest for effect, parts in effects.items() if (rest := [each for each in parts if each != part])}
        return PartAction(action, newest.job_id, resume_token(newest), also, offer, self.limit(newest))

    def suggest(self, take: Take | None, of_job: str = "") -> SuggestedAction:
        """Return the action for a part whose newest take has no file; without a take, of a part of a job."""
        job = self.found.job(take.job_id if take else of_job)
        return suggest_action(take, self.service.settings.attempts * (job.rounds if job else 1))

    def resume(self, newest: Take) -> tuple[dict[Effect, list[Part]], Offer]:
        """Return the effects of a resume of a take's job on its open parts, and what it may buy."""
        try:
            resumed = open_scenes(self.service.records, self.service.settings, newest.job_id)
        except AdreelError:
            # Another part of the job can't be planned; this one can be resumed all the same.
            resumed = []
        effects: dict[Effect, list[Part]] = {}
        clips: list[Clip] = []
        for part in [part for _, parts in resumed for part in parts] or [newest.scenario]:
            take = next((take for take in self.found.takes.get(part, []) if take.job_id == newest.job_id), None)
            effect = self.suggest(take, newest.job_id).effect
            effects.setdefault(effect, []).append(part)
            if effect != Effect.DOWNLOADS:
                price = self.service.price(take.request) if take else Price(amount=None, source="unknown")
                clips.append((take.request if take else None, price))
        job = self.found.job(newest.job_id)
        recorded = {
            take.scenario for of_part in self.found.takes.values() for take in of_part if take.job_id == newest.job_id
        }
        # Clips that are ordered already are downloaded whatever is left.
        only_buys = effects.keys() == {Effect.BUYS} and job is not None and recorded.issuperset(job.scenarios)
        return effects, self.offers.of(clips, needs_money=only_buys)

    def limit(self, take: Take) -> int | None:
        """Return the limit of a take's job in micro-dollars."""
        job: Job | None = self.found.job(take.job_id)
        return job.max_cost if job else None


def resume_token(take: Take) -> tuple[str, ...]:
    """Return what identifies a resume of a take's job, until the take changes."""
    return "resume", take.job_id, take.updated_at.isoformat()
