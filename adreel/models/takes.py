"""Takes, attempts, jobs and choices, as they are recorded.

A take is what one job buys for one part of an ad: the clip of a scene, its narration or its still, or the music. An
attempt is one Runware task of a take. It goes planned -> submitted -> accepted -> rendered -> stored, or ends as
failed. A state is recorded before its effect: `submitted` is durable before the request is sent, so a resumed run
always knows which UUID to look up.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Discriminator, Field, Tag

from adreel.errors import AdreelError, BuyingStopped, JobCancelled, NoCredits, RenderFailed, UnknownFailure
from adreel.models.api import ClipWarning, State
from adreel.models.ids import derived_uuid
from adreel.models.parts import Part
from adreel.models.record import Record
from adreel.models.runners import Runner
from adreel.models.sessions import Identifier, ImageInputs, SceneChanges, SceneDescription
from adreel.models.spend import Holds, Price, to_micros, to_usd
from adreel.text import clean_text

MAX_PROBLEM_LENGTH = 4000
SUBMIT_DEADLINE = timedelta(hours=1)
"""Time after which a runner has died that has neither recorded its job nor the answer to its submit."""

SUFFIXES = {"clip": ".mp4", "voice": ".flac", "music": ".flac", "still": ".jpg"}
"""Ends of the names of bought files. FLAC and JPEG tell whether they are complete; an MP3 does not."""
PROGRESS = {"planned": 0, "submitted": 10, "accepted": 30, "rendered": 70, "fetched": 80, "stored": 100}


class AttemptState(StrEnum):
    """State of a Runware task, as far as it is certain; each member implies more knowledge than the one before."""

    PLANNED = "planned"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    FAILED = "failed"
    RENDERED = "rendered"
    STORED = "stored"


class Problem(BaseModel, extra="allow"):
    """Why there is no clip: a code for machines, a message for people."""

    code: str
    message: str
    retryable: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Describe an error."""
        if isinstance(error, AdreelError):
            return cls(code=error.code, message=clean_text(str(error), MAX_PROBLEM_LENGTH), retryable=error.retryable)
        return cls(code="unexpected", message=clean_text(f"{type(error).__name__}: {error}"))

    @property
    def clean_message(self) -> str:
        """The message without control characters, which records of earlier versions can contain."""
        return clean_text(self.message, MAX_PROBLEM_LENGTH)


class TaskRequest(ImageInputs, extra="allow", allow_inf_nan=False, frozen=True):
    """A fully resolved request. A resume sends it unchanged, even if the settings have changed.

    Its images are https URLs and references of copied images.
    """

    model: str
    prompt: str = ""
    negative_prompt: str | None = None
    duration: float | None = Field(None, description="Seconds; null if the model or the words decide")
    width: int | None = Field(None, description="Pixels, with `height`; null if an image or `resolution` decides")
    height: int | None = None
    resolution: str | None = Field(None, description="The model's own word, such as 720p; excludes a size")
    seed: int | None = None
    sound: bool | None = Field(None, description="Whether sound was asked for; null if nothing was said")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Further parameters, as they are sent")
    warnings: tuple[ClipWarning, ...] = Field((), description="Differences between the description and the request")


class ClipRequest(TaskRequest):
    """The request of a scene's clip."""

    kind: Literal["clip"] = "clip"
    prompt: str


class VoiceRequest(TaskRequest):
    """The request of a scene's narration."""

    kind: Literal["voice"] = "voice"
    text: str = Field(description="The words to speak")
    voice: str | None = Field(None, description="A voice of the model; null for the model's own choice")
    language: str | None = None
    speed: float | None = None


class MusicRequest(TaskRequest):
    """The request of the music of an ad."""

    kind: Literal["music"] = "music"
    prompt: str


class StillRequest(TaskRequest):
    """The request of a still of a scene."""

    kind: Literal["still"] = "still"
    prompt: str


def _kind_of_request(request: Any) -> str:
    # Requests of earlier versions are of clips, and have no kind.
    return str(request.get("kind", "clip") if isinstance(request, dict) else request.kind)


PartRequest = Annotated[
    Annotated[ClipRequest, Tag("clip")]
    | Annotated[VoiceRequest, Tag("voice")]
    | Annotated[MusicRequest, Tag("music")]
    | Annotated[StillRequest, Tag("still")],
    Discriminator(_kind_of_request),
]


class Clip(BaseModel, extra="allow", allow_inf_nan=False):
    """A bought file as measured before it was stored: size in bytes, duration in seconds, loudness in LUFS."""

    file: str
    poster: str | None = Field(None, description="Drawn when it is first asked for; null if that is impossible")
    sha256: str
    size: int
    duration: float = Field(0, description="0 for a still")
    width: int = Field(0, description="0 for a voice and for music")
    height: int = 0
    loudness: float | None = Field(None, description="Of a voice and of music; null if it is silent")
    warnings: list[ClipWarning] = Field(default_factory=list)


class AsideFile(BaseModel, extra="allow"):
    """A paid file that is not a playable MP4, kept in the storage for a person to check; `size` in bytes."""

    file: str
    sha256: str
    size: int
    reason: str


class Attempt(BaseModel, extra="allow", allow_inf_nan=False):
    """One Runware task of a take."""

    uuid: UUID
    state: AttemptState = AttemptState.PLANNED
    created_at: AwareDatetime
    accepted_at: AwareDatetime | None = Field(None, description="When Runware was known to have the task")
    slot: UUID | None = Field(None, description="The slot of its last run; a resumed run takes it over")
    hold: str | None = Field(None, description="Mark of the hold under which it was sent; null without budgets")
    senders: dict[str, AwareDatetime] = Field(
        default_factory=dict, description="Runners whose submit has no answer yet, as mark -> time"
    )
    url: str | None = None
    cost: float | None = None
    seed: int | None = None
    problem: Problem | None = None
    aside: AsideFile | None = Field(None, description="The paid file if it is not a playable MP4")
    published_sha256: list[str] = Field(default_factory=list, description="Digests of files that were to be published")
    interrupted_sha256: str | None = Field(None, description="Digest of the last interrupted download")

    @property
    def is_open(self) -> bool:
        """Whether Runware may have its task and its clip is not downloaded yet."""
        return self.state in {AttemptState.SUBMITTED, AttemptState.ACCEPTED, AttemptState.RENDERED}

    @property
    def is_in_flight(self) -> bool:
        """Whether its slot, if any, is in use, by a live run or by a killed one."""
        return self.state in {AttemptState.PLANNED, AttemptState.SUBMITTED, AttemptState.ACCEPTED}

    @property
    def is_final(self) -> bool:
        """Whether its cost, if any, is known as far as it ever will be."""
        is_ended = self.state in {AttemptState.FAILED, AttemptState.RENDERED, AttemptState.STORED}
        return is_ended and not self.is_in_doubt

    @property
    def is_in_doubt(self) -> bool:
        """Whether its task was refused while another runner may still have it accepted."""
        return self.state == AttemptState.FAILED and self.accepted_at is None and bool(self.senders)

    @property
    def doubt_ends_at(self) -> datetime:
        """When no other runner can send its task any more."""
        return max(self.senders.values(), default=self.created_at) + SUBMIT_DEADLINE

    def without_sender(self, mark: str | None) -> Self:
        """Return a copy on which one runner has its answer."""
        return self.model_copy(update={"senders": {name: at for name, at in self.senders.items() if name != mark}})

    @property
    def knowledge(self) -> float:
        """How much is known of the task. A refusal ranks below an acceptance."""
        if self.state == AttemptState.FAILED and self.aside is not None:
            return list(AttemptState).index(AttemptState.RENDERED) + 0.5
        if self.state == AttemptState.FAILED and self.accepted_at is None:
            return list(AttemptState).index(AttemptState.SUBMITTED) + 0.5
        return list(AttemptState).index(self.state)


class Take(Record):
    """The purchase of one job for one part of an ad."""

    session_id: str
    scenario: Part
    job_id: str
    number: int = Field(0, ge=0, description="Position among the takes of its scene; 0 in records of earlier versions")
    campaign: str | None = Field(None, description="Name of the campaign that its job belongs to")
    created_at: AwareDatetime
    updated_at: AwareDatetime
    scene: SceneDescription | None = Field(None, description="Null for music")
    request: PartRequest
    price: Price | None = Field(None, description="Estimate for each attempt, of the time when it was planned")
    released: list[str] = Field(default_factory=list, description="Marks under which no attempt may be sent any more")
    attempts: list[Attempt] = Field(default_factory=list)
    progress: int = Field(0, ge=0, le=100)
    problem: Problem | None = Field(None, description="Why its job gave up, finally or until a resume")
    clip: Clip | None = None
    pruned_at: AwareDatetime | None = Field(None, description="When `adreel prune` began to remove it")

    @property
    def state(self) -> Literal[State.GENERATING, State.COMPLETED, State.FAILED, State.CANCELLED]:
        """The state of its scene, if this take is the newest."""
        if self.is_stored:
            return State.COMPLETED
        if self.problem is None:
            return State.GENERATING
        return State.CANCELLED if self.problem.code == JobCancelled.code else State.FAILED

    @property
    def is_stored(self) -> bool:
        """Whether its clip is verified and stored."""
        return bool(self.attempts) and self.attempts[-1].state == AttemptState.STORED

    @property
    def is_open(self) -> bool:
        """Whether its clip may be paid and is not stored yet."""
        return bool(self.attempts) and self.attempts[-1].is_open

    @property
    def is_in_doubt(self) -> bool:
        """Whether its last task was refused while another runner may still have it accepted."""
        return bool(self.attempts) and self.attempts[-1].is_in_doubt

    @property
    def cost(self) -> float | None:
        """USD over all sent attempts, 0 for a refused one; None if the cost of an accepted one is unknown."""
        return sum_costs(self.attempt_costs)

    @property
    def attempt_costs(self) -> list[float | None]:
        """USD of each sent attempt, 0 for a refused one; None if the cost of an accepted one is unknown."""
        sent = [attempt for attempt in self.attempts if attempt.state != AttemptState.PLANNED]
        return [self.cost_of(attempt) for attempt in sent]

    def cost_of(self, attempt: Attempt) -> float | None:
        """USD of a sent attempt, 0 for a refused one; None if the cost of an accepted one is unknown."""
        return 0.0 if self.was_refused(attempt) else attempt.cost

    @property
    def billed(self) -> int:
        """Micro-dollars of the bills that are known so far: its least cost."""
        return sum(to_micros(cost) for cost in self.attempt_costs if cost is not None)

    @property
    def estimate(self) -> float | None:
        """USD that one attempt was expected to cost; None if that was unknown."""
        return to_usd(self.price.amount) if self.price else None

    def was_refused(self, attempt: Attempt) -> bool:
        """Whether Runware is known to have refused the attempt's task, or an empty account to have prevented it."""
        if attempt.accepted_at is not None or attempt.aside is not None or attempt.is_in_doubt:
            return False
        if attempt.state == AttemptState.SUBMITTED:
            # The take waits for credits. The client has checked whether an earlier submit was accepted.
            return self.problem is not None and self.problem.code in {NoCredits.code, BuyingStopped.code}
        if attempt.state != AttemptState.FAILED:
            return False
        # The report of a failed render can overtake the news of its acceptance.
        if attempt.problem and attempt.problem.code in {RenderFailed.code, UnknownFailure.code}:
            return False
        # Records of earlier versions lack `accepted_at`: there, the progress tells whether a task was accepted.
        return self.progress < PROGRESS["accepted"] or any(each.accepted_at for each in self.attempts)

    @property
    def warnings(self) -> list[ClipWarning]:
        """Differences between its description, its request and its stored clip."""
        return [*self.request.warnings, *(self.clip.warnings if self.is_stored and self.clip else [])]

    @property
    def aside(self) -> AsideFile | None:
        """The paid file that was kept aside instead of a clip."""
        attempt = self.attempts[-1] if self.attempts else None
        return attempt.aside if attempt and attempt.state == AttemptState.FAILED else None

    @property
    def short_id(self) -> str:
        """Eight characters that identify it, as in its clip's file name."""
        return uuid_prefix(self.attempts[-1].uuid if self.attempts else task_uuid(self.job_id, self.scenario, 1))

    @property
    def position(self) -> tuple[bool, int, float, int]:
        """Progress as a sort key, to compare versions of one take's record."""
        return self.is_stored, len(self.attempts), self.attempts[-1].knowledge if self.attempts else 0, self.progress

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Its place among the takes of its scene. Clocks of machines differ, so the number counts first."""
        return self.number, self.created_at, self.job_id

    def can_continue(self, attempts_allowed: int) -> bool:
        """Whether a run may continue it within the allowed attempts. A task in doubt is never replaced.

        Once no other runner can send that task, a run asks Runware about it.
        """
        if self.pruned_at is not None:
            return False
        if not self.attempts or self.attempts[-1].state != AttemptState.FAILED:
            return not self.is_stored
        if self.is_in_doubt:
            return utc_now() > self.attempts[-1].doubt_ends_at
        return self._allows_next(attempts_allowed)

    def _allows_next(self, attempts_allowed: int) -> bool:
        problem = self.attempts[-1].problem
        return problem is not None and problem.retryable and len(self.attempts) < attempts_allowed

    def unsent_task(self, attempts_allowed: int) -> UUID | None:
        """The task that a run would send next without another failure; None if it would send none."""
        last = self.attempts[-1] if self.attempts else None
        if last is None or last.state == AttemptState.PLANNED:
            return task_uuid(self.job_id, self.scenario, max(1, len(self.attempts)))
        if (
            last.state == AttemptState.FAILED
            and self.can_continue(attempts_allowed)
            and self._allows_next(attempts_allowed)
        ):
            return task_uuid(self.job_id, self.scenario, len(self.attempts) + 1)
        return None

    def plan_attempt(self, now: datetime) -> Attempt:
        """Add the next attempt. Its UUID is the same for every run of the job."""
        uuid = task_uuid(self.job_id, self.scenario, len(self.attempts) + 1)
        self.attempts.append(Attempt(uuid=uuid, created_at=now))
        return self.attempts[-1]

    def advance(self, state: AttemptState) -> None:
        """Set the state of the current attempt, and raise the progress accordingly."""
        self.attempts[-1].state = state
        self.reach(state.value)

    def reach(self, step: str) -> None:
        """Raise the progress to that of a step; it never falls."""
        self.progress = max(self.progress, PROGRESS.get(step, 0))


class Job(Record):
    """A run that generates parts of an ad."""

    job_id: str
    session_id: Identifier
    scenarios: list[Part] = Field(min_length=1)
    changes: SceneChanges | None = Field(None, description="Overrides of the session's scene for its takes")
    created_at: AwareDatetime
    campaign: str | None = Field(None, description="Name of the campaign that its ad belongs to")
    rounds: int = Field(1, ge=1, description="Number of starts, resumes included; each may buy again")
    ended_at: AwareDatetime | None = None
    cancelled_at: AwareDatetime | None = Field(None, description="When a person cancelled it")
    runner: Runner | None = Field(None, description="The run that works on it, if known")
    max_cost: int | None = Field(None, ge=0, description="Maximum spend in micro-dollars, retries included")
    clip_price: int | None = Field(None, ge=0, description="Micro-dollars of each clip whose price is unknown")
    stored: dict[Part, int] = Field(
        default_factory=dict, description="Micro-dollars of each scene that was stored, at a known cost, at its end"
    )
    cut: str | None = Field(None, description="ID of the finished ad that its campaign has made")
    holds: Holds | None = Field(None, exclude=True, description="Held tasks of its runner in memory, not stored")
    mark: str | None = Field(None, exclude=True, description="Mark of its runner in memory, not stored")
    only_downloads: bool = Field(False, exclude=True, description="Whether its runner sends no task; not stored")

    @property
    def is_stored(self) -> bool:
        """Whether it has ended with a stored clip of each scene. Only the takes tell if it is false."""
        return self.ended_at is not None and all(scenario in self.stored for scenario in self.scenarios)

    @property
    def run_id(self) -> str:
        """The flow run that works on it or did last: its own run, a campaign or a resume."""
        return self.runner.run_id if self.runner else self.job_id


class Choices(Record):
    """The takes that a person has chosen, as part -> job_id."""

    takes: dict[Part, str]

    def with_take(self, take: Take) -> Self:
        """Return a copy with this take chosen."""
        return self.model_copy(update={"takes": {**self.takes, take.scenario: take.job_id}})

    def without_take(self, take: Take) -> Self:
        """Return a copy in which this take is not chosen."""
        chosen = (take.scenario, take.job_id)
        rest = {scenario: job_id for scenario, job_id in self.takes.items() if (scenario, job_id) != chosen}
        return self.model_copy(update={"takes": rest})


def sum_costs(costs: list[float | None]) -> float | None:
    """Return the sum of costs in USD; None without costs or with an unknown one."""
    known = [cost for cost in costs if cost is not None]
    return round(sum(known), 6) if known and len(known) == len(costs) else None


def task_uuid(job_id: str, scenario: Part, attempt: int) -> UUID:
    """Return the taskUUID of an attempt (from 1). It is deterministic and has the format of a UUIDv4."""
    return derived_uuid(job_id, scenario, attempt)


def uuid_prefix(uuid: UUID) -> str:
    """Return the part of a taskUUID that file names contain."""
    return uuid.hex[:8]


def clip_name(take: Take, suffix: str = "") -> str:
    """Return the name of the file of the current attempt, or of its poster with the suffix .jpg."""
    name = f"{take.session_id}_{take.scenario.value}_{uuid_prefix(take.attempts[-1].uuid)}"
    return name + (suffix or SUFFIXES[take.request.kind])


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)
