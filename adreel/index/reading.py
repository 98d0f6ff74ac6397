"""Reads one session from the records, as the index keeps it."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from adreel.errors import BadRecord, NotFound, SessionDeleted, StorageError, StorageUnavailable
from adreel.index.queries import microseconds
from adreel.models.api import WITHOUT_CLIP, SessionSummary, State, VideoSceneStatus
from adreel.models.parts import PARTS, Part
from adreel.models.sessions import Session
from adreel.models.takes import Choices, Job, Take
from adreel.records import Records
from adreel.records.spend import SessionSpend, read_session_spend, session_spend, spend_of
from adreel.records.views import combine, scene_status, summarize

TAKE = re.compile(r"takes/(?P<part>[a-z-]+)/(?P<job_id>[A-Za-z0-9_-]{1,64})\.json")
RANKS = {State.FAILED: 0, State.PARTIAL: 1, State.CANCELLED: 2, State.GENERATING: 3, State.COMPLETED: 4}
"""Order of the ads of a campaign."""
MAX_ERROR = 300
ReadJobs = dict[str, Job | BadRecord | None]
CUT = re.compile(r"cuts/[A-Za-z0-9_-]{1,64}\.json")


class SceneRow(NamedTuple):
    """A scene of a job, in the order of its table; `cost` in micro-dollars."""

    job_id: str
    scenario: Part
    session_id: str
    state: State
    cost: int
    is_cost_unknown: bool
    seconds: float | None
    """From planned to stored."""
    silent_since: float | None
    """Time of the last change of an open scene."""
    model: str
    """Empty if nothing was sent."""
    campaign: str
    is_local: bool


class AdRow(NamedTuple):
    """An ad of a campaign, in the order of its table; times in microseconds, money in micro-dollars."""

    campaign: str
    rank: int
    session_id: str
    product_name: str
    created_at: int
    updated_at: int
    estimated: int
    billed: int
    unknown_bills: int
    error: str
    product: str
    """Id of the product: the session's id without the variant."""
    variant: str
    poster: str
    """URL of the first current clip's poster; empty without a clip."""


class TakeRow(NamedTuple):
    """A take for which something was sent, in the order of its table; money in micro-dollars."""

    session_id: str
    scenario: Part
    job_id: str
    day: str
    """UTC day of the order."""
    model: str
    campaign: str
    is_local: bool
    clips: int
    estimated: int
    without_estimate: int
    billed: int
    unknown: int
    is_used: bool
    is_finished: bool
    """Whether its ad has a clip of each scene."""
    duration: float
    """Seconds of the ordered clip; 0 for the default of its model."""
    seconds: float | None
    """From planned to stored."""


@dataclass(frozen=True)
class SessionRow:
    """A session; without a summary, `error` is why it can't be read."""

    session_id: str
    read_at: int
    """Start of the reading in nanoseconds, so that an earlier reading never replaces a later one."""
    summary: SessionSummary | None = None
    error: str = ""
    jobs: dict[str, tuple[str, State | None]] = field(default_factory=dict)
    """By job: its campaign and state; None for one that can't be read."""
    scenes: list[SceneRow] = field(default_factory=list)
    ads: list[AdRow] = field(default_factory=list)
    """The ad of each campaign that has a job of the session."""
    takes: list[TakeRow] = field(default_factory=list)
    is_gone: bool = False


def read_session(records: Records, session_id: str) -> SessionRow:
    """Read a session and its takes; StorageUnavailable passes through, other errors become part of the row."""
    read_at = time.time_ns()
    try:
        files = records.storage.files(f"sessions/{session_id}")
        if not files:
            return SessionRow(session_id, read_at, is_gone=True)
        session = records.session(session_id)
        choices = records.choices(session_id) if "current.json" in files else Choices(takes={})
        takes: dict[Part, list[Take]] = {}
        parts = {part.value: part for part in PARTS}
        for found in filter(None, map(TAKE.fullmatch, files)):
            if part := parts.get(found["part"]):
                take = records.take(session_id, part, found["job_id"])
                if take is not None:
                    takes.setdefault(take.scenario, []).append(take)
        for of_scene in takes.values():
            of_scene.sort(key=lambda take: take.order)
        jobs = _read_jobs(records, session_id, takes)

        def find_job(job_id: str) -> Job | None:
            job = jobs[job_id]
            if isinstance(job, BadRecord):
                raise job
            return job

        summary = summarize(session, choices, takes, find_job)
    except StorageUnavailable:
        raise
    except SessionDeleted:
        return SessionRow(session_id, read_at, is_gone=True)
    except NotFound:
        folder = records.storage.location(f"sessions/{session_id}")
        return _unreadable_row(records, session_id, read_at, f"{folder} has no session.json")
    except StorageError as error:
        return _unreadable_row(records, session_id, read_at, str(error))
    every = sorted((take for of_scene in takes.values() for take in of_scene), key=lambda take: take.created_at)
    readable = [job for job in jobs.values() if isinstance(job, Job)]
    summary.created_at = session.created_at or (every[0].created_at if every else None)
    summary.has_cut = any(map(CUT.fullmatch, files))
    by_job = {job.job_id: list(_scenes_of(job, takes)) for job in readable}
    states: dict[str, tuple[str, State | None]] = {
        job.job_id: (job.campaign or "", combine(scene.state for scene in by_job[job.job_id])) for job in readable
    }
    states |= {job_id: ("", None) for job_id, job in jobs.items() if isinstance(job, BadRecord)}
    scenes = [scene for of_job in by_job.values() for scene in of_job]
    ads = list(_ads_of(session, readable, takes, summary))
    rows = _takes_of(session_spend(session_id, session.scenarios, choices, takes))
    return SessionRow(session_id, read_at, summary, jobs=states, scenes=scenes, ads=ads, takes=rows)


def _unreadable_row(records: Records, session_id: str, read_at: int, error: str) -> SessionRow:
    """Return the row of a session that can't be shown. Its readable takes count in reports of spend."""
    return SessionRow(session_id, read_at, error=error, takes=_takes_of(read_session_spend(records, session_id)))


def _takes_of(session: SessionSpend) -> list[TakeRow]:
    return [
        TakeRow(
            session_id=session.session_id,
            scenario=take.scenario,
            job_id=take.job_id,
            day=spend.day.isoformat(),
            model=spend.model,
            campaign=spend.campaign or "",
            is_local=spend.is_local,
            clips=spend.clips,
            estimated=spend.estimated,
            without_estimate=spend.without_estimate,
            billed=spend.billed,
            unknown=spend.unknown,
            is_used=is_used,
            is_finished=session.is_finished,
            duration=take.request.duration or 0,
            seconds=(take.updated_at - take.created_at).total_seconds() if take.is_stored else None,
        )
        for take, spend, is_used in session.takes
    ]


def _read_jobs(records: Records, session_id: str, takes: dict[Part, list[Take]]) -> dict[str, Job | BadRecord | None]:
    jobs: dict[str, Job | BadRecord | None] = {}
    for job_id in sorted({take.job_id for of_scene in takes.values() for take in of_scene}):
        try:
            job = records.job(job_id)
        except BadRecord as error:
            jobs[job_id] = error
        else:
            jobs[job_id] = job if job and job.session_id == session_id else None
    return jobs


def _ads_of(
    session: Session, jobs: list[Job], takes: dict[Part, list[Take]], summary: SessionSummary
) -> Iterator[AdRow]:
    poster = next((video.poster_url for video in summary.scene_videos if video.poster_url), "")
    by_campaign: dict[str, list[Job]] = {}
    for job in sorted(jobs, key=lambda job: (job.created_at, job.job_id)):
        if job.campaign:
            by_campaign.setdefault(job.campaign, []).append(job)
    for campaign, own in by_campaign.items():
        # A scene may have been bought again by a later job.
        scenes: dict[Part, list[VideoSceneStatus]] = {}
        found: list[Take] = []
        for job in own:
            for scenario in job.scenarios:
                take = next((take for take in takes.get(scenario, []) if take.job_id == job.job_id), None)
                scenes.setdefault(scenario, []).append(scene_status(job, take, scenario))
                found += [take] if take else []
        states, errors = [], []
        for statuses in scenes.values():
            is_stored = State.COMPLETED in {each.status for each in statuses}
            last = statuses[-1]
            states.append(State.COMPLETED if is_stored and last.status != State.GENERATING else last.status)
            errors += [last.error] if last.error and states[-1] in WITHOUT_CLIP else []
        spends = [spend for take in found if (spend := spend_of(take))]
        yield AdRow(
            campaign=campaign,
            rank=RANKS[combine(states)],
            session_id=session.session_id,
            product_name=session.product_name,
            created_at=microseconds(own[0].created_at),
            updated_at=microseconds(max([own[-1].created_at, *(take.updated_at for take in found)])),
            estimated=sum(spend.estimated for spend in spends),
            billed=sum(spend.billed for spend in spends),
            unknown_bills=sum(spend.unknown for spend in spends),
            error=next(iter(errors), "")[:MAX_ERROR],
            product=session.session_id.removesuffix(f"-{session.variant}") if session.variant else session.session_id,
            variant=session.variant,
            poster=poster,
        )


def _scenes_of(job: Job, takes: dict[Part, list[Take]]) -> Iterator[SceneRow]:
    for scenario in job.scenarios:
        take = next((take for take in takes.get(scenario, []) if take.job_id == job.job_id), None)
        state = scene_status(job, take, scenario).status
        spend = spend_of(take) if take else None
        is_stored = take is not None and take.is_stored
        yield SceneRow(
            job_id=job.job_id,
            scenario=scenario,
            session_id=job.session_id,
            state=state,
            cost=spend.billed if spend else 0,
            is_cost_unknown=bool(take and spend and take.cost is None),
            seconds=(take.updated_at - take.created_at).total_seconds() if take and is_stored else None,
            silent_since=take.updated_at.timestamp() if take and state == State.GENERATING else None,
            model=spend.model if spend else "",
            campaign=(spend.campaign if spend else None) or "",
            is_local=bool(spend and spend.is_local),
        )
