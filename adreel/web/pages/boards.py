"""Data of a session's page: each scene with its current take, the state of its newest take, and its action."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from adreel.catalog.sizes import DEFAULT_ASPECT, DEFAULT_RESOLUTION, aspect_of_platform, standard_size
from adreel.errors import AdreelError, InputError, NotFound, PrefectUnreachable
from adreel.index import SessionIndex
from adreel.models.api import WITHOUT_CLIP, ClipWarning, SessionSummary, State, VideoSceneStatus, VideoStatusResponse
from adreel.models.cuts import CutView
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, Session
from adreel.models.spend import Price
from adreel.models.takes import AttemptState, ClipRequest, Job, Take
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.purchase.jobs import open_scenes
from adreel.records import StoredSession
from adreel.records.spend import is_local
from adreel.records.suggestions import (
    NOTHING_BOUGHT,
    Effect,
    SuggestedAction,
    refused_field,
    suggest_action,
    why_no_clip,
    without_commands,
)
from adreel.records.views import combine, current_take, scene_status, summarize
from adreel.service import Service
from adreel.spend.budgets import BudgetView
from adreel.web.pages.offers import Clip, Offer, Offers
from adreel.web.pages.session_records import SessionRecords, read_session_records
from adreel.web.problems import problem_of
from adreel.web.status_cache import StatusCache

MAX_JOBS = 8

log = logging.getLogger("adreel.storyboard")


@dataclass(frozen=True)
class SceneAction:
    """The button of a failed scene: a resume of its job, or a new take."""

    action: SuggestedAction
    job_id: str
    token_parts: tuple[str, ...]
    also: dict[Effect, list[Scenario]] = field(default_factory=dict)
    """Effects of a resume on the other scenes of the job: effect -> scenes."""
    offer: Offer = field(default_factory=Offer)
    """The clips that it may buy."""
    limit: int | None = None
    """Limit of the resumed job in micro-dollars; None without one."""


@dataclass(frozen=True)
class CancelledJob:
    """A cancelled job, with the effect of a resume on its scenes and the clips that it may buy."""

    job_id: str
    scenes: list[Scenario]
    effects: dict[Effect, list[Scenario]]
    offer: Offer
    token_parts: tuple[str, ...]
    limit: int | None
    """Limit of the job in micro-dollars; None without one."""


@dataclass(frozen=True)
class Wait:
    """How long a take is being made already, and usually."""

    since: datetime
    usual: float | None
    """Seconds."""


@dataclass(frozen=True)
class FollowedJobs:
    """The jobs that a page was asked to follow. Those that ended and have a record are left out."""

    running: list[VideoStatusResponse] = field(default_factory=list)
    unrecorded: list[VideoStatusResponse] = field(default_factory=list)
    """Jobs whose run ended before it recorded anything."""
    notice: str = ""


@dataclass(frozen=True)
class SceneBoard:
    """One scene; its takes are ordered from the oldest."""

    description: SceneDescription
    takes: list[Take]
    current: Take | None
    status: VideoSceneStatus | None
    state: State | None
    size: tuple[int, int]
    request: ClipRequest | None
    """Order of the next take."""
    obstacle: str
    """Why no take can be ordered."""
    offer: Offer | None
    """The next take, if one can be ordered."""
    action: SceneAction | None
    wait: Wait | None
    """While a take is being made."""
    is_of_other_facts: bool = False
    """Whether the current clip was made from other facts of the product than the present ones."""

    @property
    def scenario(self) -> Scenario:
        """The scenario of the scene."""
        return self.description.scenario

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
    def refused_field(self) -> str | None:
        """The field that Runware has refused, while the description is the refused one: a retry can't help."""
        newest = self.takes[-1] if self.takes else None
        is_same = newest is not None and newest.scene == self.description
        return refused_field(newest) if newest and is_same and self.error else None

    @property
    def field_errors(self) -> dict[str, str]:
        """The errors of its form before anything is typed."""
        return {self.refused_field: "Runware refuses this. Change it, then regenerate."} if self.refused_field else {}


@dataclass(frozen=True)
class Board:
    """A session as its page shows it."""

    session: StoredSession
    view: SessionSummary
    scenes: list[SceneBoard]
    followed: FollowedJobs
    budgets: list[BudgetView]
    cuts: list[CutView] | None
    """The finished ads, the newest first; None if one can't be read."""
    cancelled: list[CancelledJob]
    """The cancelled jobs that can be resumed."""
    missing_offer: Offer
    """The clips of the scenes without a take."""
    short_budgets: list[str]
    """The budgets that have too little left for an offer."""

    @cached_property
    def state(self) -> State | None:
        """The state of the ad; None before its first job."""
        if self.view.state is None and all(scene.state is None for scene in self.scenes):
            return None
        return combine(scene.state for scene in self.scenes)

    @cached_property
    def running(self) -> dict[str, list[Scenario]]:
        """The running jobs, with the scenes that they make."""
        jobs: dict[str, list[Scenario]] = {}
        for status in self.followed.running:
            jobs[status.job_id] = [scene.scenario for scene in status.scenes if scene.status == State.GENERATING]
        for scene in self.scenes:
            if scene.is_busy and not any(scene.scenario in scenes for scenes in jobs.values()):
                jobs.setdefault(scene.takes[-1].job_id, []).append(scene.scenario)
        return jobs

    @property
    def has_bought(self) -> bool:
        """Whether anything may have been paid."""
        attempts = [attempt for scene in self.scenes for take in scene.takes for attempt in take.attempts]
        return any(attempt.state != AttemptState.PLANNED for attempt in attempts)

    @property
    def is_draft(self) -> bool:
        """Whether no clip was ordered yet, so the whole ad can be edited."""
        return not self.running and not self.followed.unrecorded and not any(scene.takes for scene in self.scenes)

    @property
    def undescribed(self) -> list[Scenario]:
        """The scenes that a draft lacks: it is generated when it has all four."""
        described = {scene.scenario for scene in self.scenes}
        is_open = self.is_draft and not self.session.archived_at
        return [scenario for scenario in Scenario if is_open and scenario not in described]

    @property
    def missing(self) -> list[Scenario]:
        """The scenes without a take that can be bought; none while a job runs, as it may be about to record them."""
        can_buy = not self.running and not self.session.archived_at
        return [scene.scenario for scene in self.scenes if can_buy and not scene.takes]

    @property
    def made(self) -> tuple[int, int]:
        """How many of the clips that are being ordered are stored, and how many there are."""
        ordered = [
            scene
            for scene in self.scenes
            if scene.is_busy or (scene.takes and scene.takes[-1].job_id in self.running and scene.takes[-1].is_stored)
        ]
        return sum(not scene.is_busy for scene in ordered), len(ordered)

    @property
    def is_simulated(self) -> bool:
        """Whether the emulator renders the next clips."""
        return any(price.source == "emulator" for scene in self.scenes if scene.offer for price in scene.offer.prices)

    @property
    def is_paid(self) -> bool:
        """Whether all that was ordered has ended, and the cost is known and is money."""
        takes = [take for scene in self.scenes for take in scene.takes]
        return bool(self.view.cost) and self.state != State.GENERATING and not any(is_local(take) for take in takes)

    @property
    def shape(self) -> str:
        """The shape of most clips."""
        upright = sum(height > width for width, height in (scene.size for scene in self.scenes))
        return "upright" if upright * 2 > len(self.scenes) else "wide"

    def order_token(self, *parts: str) -> str:
        """Return an idempotency key that is the same on every open page until the order shows in the records.

        A job that ended without a record changes it, so that the order can be repeated.
        """
        dead = ".".join(sorted(status.job_id for status in self.followed.unrecorded))
        return hashlib.sha256(" ".join((*parts, dead)).encode()).hexdigest()[:32]

    def cut_token(self, earlier: str = "") -> str:
        """Return the idempotency key of a finished ad of the present clips, in place of an `earlier` one."""
        current = [scene.current.job_id for scene in self.scenes if scene.current]
        return self.order_token("cut", earlier, *current)


async def read_board(
    service: Service, statuses: StatusCache, index: SessionIndex, session_id: str, jobs: Iterable[str]
) -> Board:
    """Return a session's board; `jobs` were started for it and may not have a record yet."""
    known = list(dict.fromkeys(jobs))[-MAX_JOBS:]
    recorded = dict(zip(known, await run_in_threadpool(service.records.map, service.records.job, known), strict=True))
    followed = FollowedJobs()
    for job_id in [job_id for job_id, job in recorded.items() if job is None]:
        try:
            if not await service.is_run_of(job_id, session_id):
                continue
            status = await statuses.read(job_id)
        except NotFound:
            continue
        except PrefectUnreachable as error:
            log.warning("%s", error)
            notice = f"Your last orders may be missing here: {problem_of(error).detail}."
            followed = FollowedJobs(followed.running, followed.unrecorded, notice)
            break
        (followed.running if status.overall_status == State.GENERATING else followed.unrecorded).append(status)
    found = await read_session_records(service, session_id, recorded)
    for job in filter(None, recorded.values()):
        if job.session_id == session_id and (status := _status_of(job, found)).overall_status == State.GENERATING:
            followed.running.append(status)
    return await run_in_threadpool(_board, service, index, found, followed)


def _status_of(job: Job, found: SessionRecords) -> VideoStatusResponse:
    """Return the status of a job of the session, from what was read for the page."""
    takes = {take.scenario: take for of_scene in found.takes.values() for take in of_scene if take.job_id == job.job_id}
    scenes = [scene_status(job, takes.get(scenario), scenario) for scenario in job.scenarios]
    return VideoStatusResponse(
        job_id=job.job_id, overall_status=combine(scene.status for scene in scenes), scenes=scenes
    )


def _board(service: Service, index: SessionIndex, found: SessionRecords, followed: FollowedJobs) -> Board:
    session, choices, takes_by_scene, read_job = found.session, found.choices, found.takes, found.job
    offers = Offers(index, found.budgets, is_local=service.settings.is_local)

    view = summarize(session, choices, takes_by_scene, read_job)
    states = {video.scenario: video.status for video in view.scene_videos}
    scenes = []
    clips: dict[Scenario, list[Clip]] = {}
    for scenario in session.scenarios:
        takes = takes_by_scene[scenario]
        # A job without a record counts while it runs, or if it has failed and nothing newer is recorded.
        status = next(
            (
                scene
                for followed_job in (*followed.running, *followed.unrecorded)
                for scene in followed_job.scenes
                if scene.scenario == scenario
                and (scene.status == State.GENERATING or (not takes and scene.status in WITHOUT_CLIP))
            ),
            None,
        )
        if status is None and takes and (job := read_job(takes[-1].job_id)):
            status = scene_status(job, takes[-1], scenario)
        state = states.get(scenario)
        if status and (state is None or status.status == State.GENERATING):
            state = status.status
        description = session.scene(scenario)
        current = current_take(takes, choices)
        request, obstacle = None, ""
        try:
            request = service.preview(session, scenario)
        except InputError as error:
            obstacle = without_commands(str(error))
        clip = (request, service.price(request)) if request else None
        clips[scenario] = [clip] if clip else []
        has_failed = status is not None and status.status == State.FAILED
        scenes.append(
            SceneBoard(
                description=description,
                takes=takes,
                current=current,
                status=status,
                state=state,
                size=_size(session, description, current, request),
                request=request,
                obstacle=obstacle,
                offer=offers.of([clip]) if clip else None,
                action=_action(service, offers, found, scenario, clips[scenario]) if has_failed else None,
                wait=_wait(offers, takes[-1]) if takes and state == State.GENERATING else None,
                is_of_other_facts=current is not None and not service.has_present_facts(session, current),
            )
        )
    cancelled = _cancelled_jobs(service, offers, found, scenes)
    missing = offers.of([clip for scene in scenes if not scene.takes for clip in clips[scene.scenario]])
    return Board(session, view, scenes, followed, found.budgets, found.cut_views, cancelled, missing, offers.short)


def _wait(offers: Offers, take: Take) -> Wait:
    return Wait(take.created_at, offers.wait(take.request))


def _size(
    session: Session, scene: SceneDescription, current: Take | None, request: ClipRequest | None
) -> tuple[int, int]:
    """Return the size of the current clip, else the shape that is expected of the next."""
    if current and current.clip:
        return current.clip.width, current.clip.height
    if request and request.width and request.height:
        return request.width, request.height
    options = session.render_options(scene)
    aspect = options.aspect or aspect_of_platform(session.target_platform) or DEFAULT_ASPECT
    width, height = (options.size or standard_size(aspect, DEFAULT_RESOLUTION)).split("x")
    return int(width), int(height)


def _action(
    service: Service, offers: Offers, found: SessionRecords, scenario: Scenario, next_clip: list[Clip]
) -> SceneAction:
    offer, takes = offers.of(next_clip), found.takes[scenario]
    if not takes:
        nothing_bought = SuggestedAction(False, Effect.BUYS, NOTHING_BOUGHT)
        return SceneAction(nothing_bought, "", ("retry", scenario), offer=offer)
    newest = takes[-1]
    action = suggest_action(newest, _attempts_allowed(service, found, newest))
    if not action.resumes:
        return SceneAction(action, newest.job_id, ("retry", newest.job_id), offer=offer)
    effects, offer = _resume(service, offers, found, newest)
    also = {
        effect: others
        for effect, scenes in effects.items()
        if (others := [each for each in scenes if each != scenario])
    }
    return SceneAction(action, newest.job_id, _resume_token(newest), also, offer, _limit(found, newest))


def _cancelled_jobs(
    service: Service, offers: Offers, found: SessionRecords, scenes: list[SceneBoard]
) -> list[CancelledJob]:
    by_job: dict[str, list[SceneBoard]] = {}
    for scene in scenes:
        if scene.takes and scene.status and scene.status.status == State.CANCELLED:
            # A scene that can't be resumed has the button of its form alone.
            newest = scene.takes[-1]
            if suggest_action(newest, _attempts_allowed(service, found, newest)).resumes:
                by_job.setdefault(newest.job_id, []).append(scene)
    cancelled = []
    for job_id, of_job in by_job.items():
        newest = max((scene.takes[-1] for scene in of_job), key=lambda take: take.updated_at)
        effects, offer = _resume(service, offers, found, newest)
        scenarios = [scene.scenario for scene in of_job]
        cancelled.append(CancelledJob(job_id, scenarios, effects, offer, _resume_token(newest), _limit(found, newest)))
    return cancelled


def _attempts_allowed(service: Service, found: SessionRecords, take: Take) -> int:
    job = found.job(take.job_id)
    return service.settings.attempts * (job.rounds if job else 1)


def _resume(
    service: Service, offers: Offers, found: SessionRecords, newest: Take
) -> tuple[dict[Effect, list[Scenario]], Offer]:
    """Return the effects of a resume of a take's job on its open scenes, and what it may buy."""
    try:
        resumed = open_scenes(service.records, service.settings, newest.job_id)
    except AdreelError:
        # Another scene of the job can't be planned; this one can be resumed all the same.
        resumed = []
    effects: dict[Effect, list[Scenario]] = {}
    clips: list[Clip] = []
    for scenario in [scenario for _, scenes in resumed for scenario in scenes] or [newest.scenario]:
        take = next((take for take in found.takes.get(scenario, []) if take.job_id == newest.job_id), None)
        effect = suggest_action(take, _attempts_allowed(service, found, newest)).effect
        effects.setdefault(effect, []).append(scenario)
        if effect != Effect.DOWNLOADS:
            price = service.price(take.request) if take else Price(amount=None, source="unknown")
            clips.append((take.request if take else None, price))
    job = found.job(newest.job_id)
    recorded = {take.scenario for of_scene in found.takes.values() for take in of_scene if take.job_id == newest.job_id}
    # Clips that are ordered already are downloaded whatever is left.
    only_buys = effects.keys() == {Effect.BUYS} and job is not None and recorded.issuperset(job.scenarios)
    return effects, offers.of(clips, needs_money=only_buys)


def _limit(found: SessionRecords, take: Take) -> int | None:
    job = found.job(take.job_id)
    return job.max_cost if job else None


def _resume_token(take: Take) -> tuple[str, ...]:
    return "resume", take.job_id, take.updated_at.isoformat()
