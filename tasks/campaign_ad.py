"""The task that makes an ad of a campaign: one task for all its scenes, since a campaign has thousands.

What shows for each scene of a single ad (progress, poster, its own events) would cost more than the rest here: an ad of
a campaign tells of itself when it is done, and the storyboard and `adreel status` show it at any time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from prefect import task

from adreel.campaigns import Tally, job_of
from adreel.jobs import end_job, give_up, produce_scene, start_job
from adreel.messages import State
from adreel.new_sessions import store_new
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.sessions import Session
from adreel.settings import Settings
from adreel.takes import Job
from adreel.views import JobView, job_view
from tasks.events import job_finished
from tasks.generate_scene import RETRY_DELAYS, is_last_try, is_worth_retrying, may_pass
from tasks.slots import runware_slot

BLOCK = 32
"""Slots that are leased together: one request to Prefect for so many scenes."""


@task(
    name="campaign-ad",
    task_run_name="ad-{session_id}",
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_jitter_factor=0.5,
    retry_condition_fn=is_worth_retrying,
    persist_result=False,
)
async def campaign_ad(session_id: str, make: Callable[[], Awaitable[None]]) -> None:
    """Make one ad; what is stored already is left alone."""
    await make()


@dataclass(frozen=True)
class Campaign:
    """What the ads of a campaign share."""

    name: str
    settings: Settings
    records: Records
    tally: Tally
    again: bool

    async def make(self, session: Session) -> None:
        """Bring the scenes of an ad home and count it; raises what keeps it from being completed now."""
        try:
            if done := await asyncio.to_thread(self._done_before, session):
                self.tally.add(done)
                return
            job = await asyncio.to_thread(self._start, session)
        except Exception as error:
            if is_last_try(error):
                self.tally.add_failure(session.session_id, str(error))
            raise
        failed = await self._produce(job)
        worth_retrying = min(failed.values(), key=is_final, default=None)
        if worth_retrying is None or is_last_try(worth_retrying):
            view = await asyncio.to_thread(self._end, job, failed)
            self.tally.add(view)
            job_finished(view)
        if worth_retrying:
            raise worth_retrying

    def _done_before(self, session: Session) -> JobView | None:
        job_id = job_of(self.name, session.session_id)
        view = job_view(self.records, job_id) if self.records.job(job_id) else None
        return view if view and view.overall_status == State.COMPLETED else None

    def _start(self, session: Session) -> Job:
        job_id = job_of(self.name, session.session_id)
        if self.records.job(job_id) is None:
            all_anew = None if self.again else "a campaign that buys again: `adreel campaign --again`"
            store_new(self.records, self.settings, session, session.scenarios, all_anew=all_anew)
        return start_job(self.records, self.settings, job_id, session.session_id, scenarios=session.scenarios)

    async def _produce(self, job: Job) -> dict[Scenario, Exception]:
        slot = partial(runware_slot, block=BLOCK)
        failed = {}

        async def produce(scenario: Scenario) -> None:
            try:
                await produce_scene(self.records, self.settings, job, scenario, slot=slot)
            except Exception as error:
                failed[scenario] = error

        await asyncio.gather(*map(produce, job.scenarios))
        return failed

    def _end(self, job: Job, failed: dict[Scenario, Exception]) -> JobView:
        for scenario, error in failed.items():
            give_up(self.records, job, scenario, error)
        end_job(self.records, job)
        return job_view(self.records, job.job_id)


def is_final(error: Exception) -> bool:
    """Whether trying again by itself can't help."""
    return not may_pass(error)
