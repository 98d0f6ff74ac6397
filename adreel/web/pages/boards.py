"""Data of a session's page: its scenes and what is bought for them besides, and the orders that the page offers."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from adreel.errors import NotFound, PrefectUnreachable
from adreel.index import SessionIndex
from adreel.models.api import SessionSummary, State, VideoStatusResponse
from adreel.models.cuts import CutView
from adreel.models.parts import Addition, Part
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Job
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records import StoredSession
from adreel.records.spend import is_local
from adreel.records.suggestions import Effect
from adreel.records.views import combine, scene_status, summarize
from adreel.service import Service
from adreel.spend.budgets import BudgetView
from adreel.web.pages.offers import Offer, Offers
from adreel.web.pages.part_boards import PartBoard, PartReader, SceneBoard, resume_token
from adreel.web.pages.session_records import SessionRecords, read_session_records
from adreel.web.problems import problem_of
from adreel.web.status_cache import StatusCache

MAX_JOBS = 8

log = logging.getLogger("adreel.storyboard")


@dataclass(frozen=True)
class CancelledJob:
    """A cancelled job, with the effect of a resume on its parts and what it may buy."""

    job_id: str
    parts: list[Part]
    effects: dict[Effect, list[Part]]
    offer: Offer
    token_parts: tuple[str, ...]
    limit: int | None
    """Limit of the job in micro-dollars; None without one."""


@dataclass(frozen=True)
class FollowedJobs:
    """The jobs that a page was asked to follow. Those that ended and have a record are left out."""

    running: list[VideoStatusResponse] = field(default_factory=list)
    unrecorded: list[VideoStatusResponse] = field(default_factory=list)
    """Jobs whose run ended before it recorded anything."""
    notice: str = ""


@dataclass(frozen=True)
class Board:
    """A session as its page shows it."""

    session: StoredSession
    view: SessionSummary
    scenes: list[SceneBoard]
    music: PartBoard | None
    """None if the ad does not ask for it and none was bought."""
    followed: FollowedJobs
    cuts: list[CutView] | None
    """The finished ads, the newest first; None if one can't be read."""
    budgets: list[BudgetView]
    offers: Offers
    cancelled: list[CancelledJob]
    """The cancelled jobs that can be resumed."""

    @cached_property
    def parts(self) -> list[PartBoard]:
        """The parts of the finished ad: its clips, narrations and music."""
        voices = [scene.voice for scene in self.scenes if scene.voice]
        return [*self.scenes, *voices, *([self.music] if self.music else [])]

    @cached_property
    def all_parts(self) -> list[PartBoard]:
        """The parts of the finished ad, and the stills."""
        return [*self.parts, *(scene.still for scene in self.scenes)]

    @cached_property
    def state(self) -> State | None:
        """The state of the ad; None before its first job."""
        if self.view.state is None and all(part.state is None for part in self.parts):
            return None
        return combine(part.state for part in self.all_parts if part in self.parts or part.is_busy)

    @cached_property
    def running(self) -> dict[str, list[Part]]:
        """The running jobs, with the parts that they make."""
        jobs: dict[str, list[Part]] = {}
        for status in self.followed.running:
            jobs[status.job_id] = [scene.scenario for scene in status.scenes if scene.status == State.GENERATING]
        for part in self.all_parts:
            if part.is_busy and not any(part.part in parts for parts in jobs.values()):
                jobs.setdefault(part.takes[-1].job_id, []).append(part.part)
        return jobs

    @property
    def has_bought(self) -> bool:
        """Whether anything may have been paid."""
        attempts = [attempt for part in self.all_parts for take in part.takes for attempt in take.attempts]
        return any(attempt.state != AttemptState.PLANNED for attempt in attempts)

    @property
    def is_draft(self) -> bool:
        """Whether nothing was ordered yet, so the whole ad can be edited."""
        return not self.running and not self.followed.unrecorded and not any(part.takes for part in self.all_parts)

    @property
    def undescribed(self) -> list[Scenario]:
        """The scenes that a draft lacks: it is generated when it has all four."""
        described = {scene.scenario for scene in self.scenes}
        is_open = self.is_draft and not self.session.archived_at
        return [scenario for scenario in Scenario if is_open and scenario not in described]

    @cached_property
    def missing(self) -> list[PartBoard]:
        """The parts without a take that can be bought; none while a job runs, as it may be about to record them."""
        can_buy = not self.running and not self.session.archived_at
        return [part for part in self.parts if can_buy and not part.takes]

    @cached_property
    def changed(self) -> list[PartBoard]:
        """The parts whose next take would be another one than the current take."""
        can_buy = not self.running and not self.session.archived_at
        return [part for part in self.parts if can_buy and part.is_changed]

    @cached_property
    def missing_offer(self) -> Offer:
        """The parts without a take."""
        return self._offer(self.missing)

    @cached_property
    def changed_offer(self) -> Offer:
        """The parts that have changed."""
        return self._offer(self.changed)

    def _offer(self, parts: Sequence[PartBoard]) -> Offer:
        offer = self.offers.of([(part.request, part.offer.prices[0]) for part in parts if part.offer])
        refused = [part for part in parts if part.kind != "clip" and part.obstacle]
        words = "A narration doesn't fit its scene, or can't be spoken as it is: see below."
        return replace(offer, refusal=offer.refusal or words) if refused else offer

    @property
    def short_budgets(self) -> list[str]:
        """The budgets that have too little left for an offer."""
        for offered in (self.missing_offer, self.changed_offer):
            assert offered  # noqa: S101 - each is made before the answer
        return self.offers.short

    @property
    def made(self) -> tuple[int, int]:
        """How many of the parts that are being ordered are stored, and how many there are."""
        ordered = [
            part
            for part in self.all_parts
            if part.is_busy or (part.takes and part.takes[-1].job_id in self.running and part.takes[-1].is_stored)
        ]
        return sum(not part.is_busy for part in ordered), len(ordered)

    @property
    def is_simulated(self) -> bool:
        """Whether the emulator renders the next clips."""
        return any(price.source == "emulator" for scene in self.scenes if scene.offer for price in scene.offer.prices)

    @property
    def is_paid(self) -> bool:
        """Whether all that was ordered has ended, and the cost is known and is money."""
        takes = [take for part in self.all_parts for take in part.takes]
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
        """Return the idempotency key of a finished ad of the current takes, in place of an `earlier` one."""
        current = [part.current.job_id for part in self.parts if part.current]
        return self.order_token("cut", earlier, *current)

    def part_token(self, *parts: PartBoard, of: str = "buy") -> str:
        """Return the idempotency key of an order of parts, until one of them has another take."""
        newest = [part.takes[-1].job_id if part.takes else "" for part in parts]
        return self.order_token(of, *(part.part for part in parts), *newest)


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
    session = found.session
    offers = Offers(index, found.budgets, is_local=service.settings.is_local)
    view = summarize(session, found.choices, found.takes, found.job)
    states = {video.scenario: video.status for video in (*view.scene_videos, *view.additions)}
    reader = PartReader(service, offers, found, [*followed.running, *followed.unrecorded], states)
    scenes = [reader.scene(scenario) for scenario in session.scenarios]
    music = reader.part(Addition.MUSIC) if reader.is_shown(Addition.MUSIC) else None
    stills = [scene.still for scene in scenes]
    voices = [scene.voice for scene in scenes if scene.voice]
    cancelled = _cancelled_jobs(reader, [*scenes, *voices, *([music] if music else []), *stills])
    return Board(session, view, scenes, music, followed, found.cut_views, found.budgets, offers, cancelled)


def _cancelled_jobs(reader: PartReader, parts: list[PartBoard]) -> list[CancelledJob]:
    by_job: dict[str, list[PartBoard]] = {}
    for part in parts:
        # A part that can't be resumed has the button of its form alone.
        is_cancelled = part.status is not None and part.status.status == State.CANCELLED
        if part.takes and is_cancelled and reader.suggest(part.takes[-1]).resumes:
            by_job.setdefault(part.takes[-1].job_id, []).append(part)
    cancelled = []
    for job_id, of_job in by_job.items():
        newest = max((part.takes[-1] for part in of_job), key=lambda take: take.updated_at)
        effects, offer = reader.resume(newest)
        named = [part.part for part in of_job]
        cancelled.append(CancelledJob(job_id, named, effects, offer, resume_token(newest), reader.limit(newest)))
    return cancelled
