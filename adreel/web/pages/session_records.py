"""The records of a session for its page: each is read once, and those that do not depend on others at the same time."""

import asyncio
import logging
from dataclasses import dataclass, field

from adreel.errors import StorageError
from adreel.models.cuts import Cut, CutView
from adreel.models.parts import Part
from adreel.models.takes import Choices, Job, Take
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records import Records, StoredSession
from adreel.records.views import views_of_cuts
from adreel.service import Service
from adreel.spend.budgets import BudgetView

log = logging.getLogger("adreel.storyboard")


@dataclass(frozen=True)
class SessionRecords:
    """The records of a session. `takes` are by scene, the oldest first; `cuts` is None if one can't be read."""

    session: StoredSession
    choices: Choices
    takes: dict[Part, list[Take]]
    cuts: list[Cut] | None
    budgets: list[BudgetView]
    jobs: dict[str, Job | None] = field(default_factory=dict)

    @property
    def cut_views(self) -> list[CutView] | None:
        """The finished ads, the newest first."""
        return None if self.cuts is None else views_of_cuts(self.session, self.choices, self.takes, self.cuts)

    def job(self, job_id: str) -> Job | None:
        """Return the job of the newest take of a scene, or one that the page follows."""
        return self.jobs.get(job_id)


async def read_session_records(service: Service, session_id: str, known_jobs: dict[str, Job | None]) -> SessionRecords:
    """Read the records of a session, or raise NotFound; `known_jobs` have been read already."""
    records = service.records
    session, choices, takes, cuts = await asyncio.gather(
        run_in_threadpool(service.session, session_id),
        run_in_threadpool(records.choices, session_id),
        run_in_threadpool(records.takes_by_part, session_id),
        run_in_threadpool(_read_cuts, records, session_id),
    )
    newest = {of_scene[-1].job_id for of_scene in takes.values() if of_scene} - known_jobs.keys()
    budgets, jobs = await asyncio.gather(
        run_in_threadpool(service.budgets_of, session),
        run_in_threadpool(records.map, records.job, sorted(newest)),
    )
    read = dict(zip(sorted(newest), jobs, strict=True))
    return SessionRecords(session, choices, takes, cuts, budgets, known_jobs | read)


def _read_cuts(records: Records, session_id: str) -> list[Cut] | None:
    try:
        return records.cuts(session_id)
    except StorageError as broken:
        # The clips are shown all the same.
        log.warning("%s", broken)
        return None
