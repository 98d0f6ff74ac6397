"""Data of a session's page: each scene with its current take, the state of its newest take, and the actions."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from adreel.errors import AdreelError, NotFound
from adreel.models.api import SessionSummary, State, VideoSceneStatus, VideoStatusResponse
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription, Session
from adreel.models.takes import AttemptState, Job, Take
from adreel.orchestration.runs import PrefectUnreachable
from adreel.purchase.jobs import open_scenes
from adreel.records.suggestions import Effect, SuggestedAction, suggest_action
from adreel.records.views import combine, current_take, scene_status, session_view
from adreel.web.backend import Backend
from adreel.web.problems import refusal_of
from adreel.web.starting import stored_session
from adreel.web.threads import run_in_threadpool

MOST_JOBS = 8

log = logging.getLogger("adreel.storyboard")


@dataclass(frozen=True)
class Remedy:
    """The button of a failed scene: its effect on the scene and on other scenes of the same job."""

    action: SuggestedAction
    job_id: str
    about: tuple[str, ...]
    also: dict[str, list[Scenario]] = field(default_factory=dict)
    """Effects of a resume on the other scenes: effect -> scenes."""


@dataclass(frozen=True)
class Orders:
    """The jobs that a page was asked to follow; `ended` are those that left no record of their own."""

    waiting: list[VideoStatusResponse] = field(default_factory=list)
    ended: list[VideoStatusResponse] = field(default_factory=list)
    notice: str = ""

    @property
    def ids(self) -> list[str]:
        """The ids of those that go on."""
        return [status.job_id for status in self.waiting]

    @property
    def salt(self) -> str:
        """What has come of nothing: the next order is another one."""
        return ".".join(sorted(status.job_id for status in self.ended))


@dataclass(frozen=True)
class SceneBoard:
    """One scene; its takes are the oldest first."""

    description: SceneDescription
    takes: list[Take]
    current: Take | None
    status: VideoSceneStatus | None
    state: State | None
    size: tuple[int, int]
    remedy: Remedy | None

    @property
    def scenario(self) -> Scenario:
        """Which part of the ad."""
        return self.description.scenario

    @property
    def is_busy(self) -> bool:
        """Whether a take is being made."""
        return self.state == State.GENERATING

    def number_of(self, take: Take) -> int:
        """Return the number of a take, from 1 for the oldest."""
        return [each.job_id for each in self.takes].index(take.job_id) + 1

    @property
    def error(self) -> str | None:
        """Why the newest take is none."""
        return self.status.error if self.status and self.status.status == State.FAILED else None


@dataclass(frozen=True)
class Board:
    """A session as its page shows it."""

    session: Session
    view: SessionSummary
    scenes: list[SceneBoard]
    orders: Orders

    @cached_property
    def state(self) -> State | None:
        """The state of the ad; None before its first job."""
        if self.view.state is None and all(scene.state is None for scene in self.scenes):
            return None
        return combine(scene.state for scene in self.scenes)

    @cached_property
    def running(self) -> dict[str, list[Scenario]]:
        """The jobs that make takes now, and of which scenes."""
        jobs: dict[str, list[Scenario]] = {}
        for status in self.orders.waiting:
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
    def missing(self) -> list[Scenario]:
        """The scenes that nobody has asked for yet; none while a job runs, as it may be about to record them."""
        return [] if self.running else [scene.scenario for scene in self.scenes if not scene.takes]

    @property
    def shape(self) -> str:
        """How the clips stand: most of them."""
        upright = sum(height > width for width, height in (scene.size for scene in self.scenes))
        return "upright" if upright * 2 > len(self.scenes) else "wide"

    def order_token(self, *about: str) -> str:
        """Return a key for an order that stays the same until the records tell of it, on every open page."""
        return hashlib.sha256(" ".join((*about, self.orders.salt)).encode()).hexdigest()[:32]


async def read_board(backend: Backend, session_id: str, jobs: Iterable[str]) -> Board:
    """Return a session's board; `jobs` have been ordered for it and may not be in the records yet."""
    orders = await _orders(backend, session_id, list(dict.fromkeys(jobs))[-MOST_JOBS:])
    return await run_in_threadpool(_board, backend, session_id, orders)


async def _orders(backend: Backend, session_id: str, jobs: list[str]) -> Orders:
    orders = Orders()
    for job_id in jobs:
        try:
            job = await run_in_threadpool(backend.records.job, job_id)
            if not (job.session_id == session_id if job else await _is_order_of(backend, session_id, job_id)):
                continue
            status = await backend.statuses.read(job_id)
        except NotFound:
            continue
        except PrefectUnreachable as error:
            log.warning("%s", error)
            return Orders(
                orders.waiting, orders.ended, f"What was ordered last may be missing here: {refusal_of(error).detail}."
            )
        if status.overall_status == State.GENERATING:
            orders.waiting.append(status)
        elif job is None:
            orders.ended.append(status)
    return orders


async def _is_order_of(backend: Backend, session_id: str, job_id: str) -> bool:
    """Whether a run without a record is about a session."""
    run = await backend.runs.read(job_id)
    if run is None:
        return False
    if isinstance(target := run.parameters.get("target"), str):
        resumed = await run_in_threadpool(backend.records.job, target)
        return resumed is not None and resumed.session_id == session_id
    return run.parameters.get("session_id") == session_id


def _board(backend: Backend, session_id: str, orders: Orders) -> Board:
    session = stored_session(backend, session_id, "path")
    view = session_view(backend.records, session_id)
    reader = _Reader(backend, session, view, orders)
    return Board(session, view, [reader.scene(scenario) for scenario in session.scenarios], orders)


class _Reader:
    """Reads the scenes of one session; each job's record once."""

    def __init__(self, backend: Backend, session: Session, view: SessionSummary, orders: Orders) -> None:
        self._backend, self._session, self._orders = backend, session, orders
        self._choices = backend.records.choices(session.session_id)
        self._states = {video.scenario: video.status for video in view.scene_videos}
        self._jobs: dict[str, Job | None] = {}

    def scene(self, scenario: Scenario) -> SceneBoard:
        takes = self._backend.records.takes(self._session.session_id, scenario)
        current = current_take(takes, self._choices)
        status = self._ordered(scenario, takes) or self._recorded(scenario, takes)
        state = status.status if status and status.status == State.GENERATING else self._states.get(scenario)
        if status and state is None:
            state = status.status
        description = self._session.scene(scenario)
        return SceneBoard(
            description=description,
            takes=takes,
            current=current,
            status=status,
            state=state,
            size=self._size(description, current),
            remedy=self._remedy(scenario, takes) if status and status.status == State.FAILED else None,
        )

    def _ordered(self, scenario: Scenario, takes: list[Take]) -> VideoSceneStatus | None:
        """Return what a job without a record says of a scene, if that is the latest news."""
        for status in (*self._orders.waiting, *self._orders.ended):
            for scene in status.scenes:
                is_news = scene.status == State.GENERATING or (not takes and scene.status == State.FAILED)
                if scene.scenario == scenario and is_news:
                    return scene
        return None

    def _recorded(self, scenario: Scenario, takes: list[Take]) -> VideoSceneStatus | None:
        job = self._job(takes[-1].job_id) if takes else None
        return scene_status(job, takes[-1], scenario) if job else None

    def _job(self, job_id: str) -> Job | None:
        if job_id not in self._jobs:
            self._jobs[job_id] = self._backend.records.job(job_id)
        return self._jobs[job_id]

    def _size(self, description: SceneDescription, current: Take | None) -> tuple[int, int]:
        if current and current.clip:
            return current.clip.width, current.clip.height
        width, height = (description.size or self._backend.settings.size).split("x")
        return int(width), int(height)

    def _remedy(self, scenario: Scenario, takes: list[Take]) -> Remedy:
        if not takes:
            action = SuggestedAction(False, Effect.BUYS, "Nothing was bought. This buys a clip.")
            return Remedy(action, "", ("retry", scenario))
        newest = takes[-1]
        action = self._action(newest, newest.job_id)
        if not action.resumes:
            return Remedy(action, newest.job_id, ("retry", newest.job_id))
        also: dict[str, list[Scenario]] = {}
        for other in self._open_in(newest.job_id):
            if other != scenario:
                take = self._backend.records.take(self._session.session_id, other, newest.job_id)
                also.setdefault(self._action(take, newest.job_id).effect, []).append(other)
        return Remedy(action, newest.job_id, ("resume", newest.job_id, newest.updated_at.isoformat()), also)

    def _action(self, take: Take | None, job_id: str) -> SuggestedAction:
        job = self._job(job_id)
        return suggest_action(take, self._backend.settings.attempts * (job.rounds if job else 1))

    def _open_in(self, job_id: str) -> list[Scenario]:
        try:
            found = open_scenes(self._backend.records, self._backend.settings, job_id)
        except AdreelError:
            return []
        return [scenario for _, scenes in found for scenario in scenes]
