"""The task that makes some ads of a campaign: one task for all their scenes, since a campaign has thousands.

What shows for each scene of a single ad (progress, poster, its own events) would cost more than the rest here, and so
would a task for each ad: an ad of a campaign tells of itself when it is done, and the storyboard and `adreel status`
show it at any time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from prefect import task

from adreel.campaigns import Tally, job_of
from adreel.errors import JobCancelled
from adreel.models.api import State
from adreel.models.runners import Runner
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.models.takes import Job
from adreel.purchase.jobs import end_job, give_up, produce_scene, start_job
from adreel.records import Records
from adreel.records.views import JobView, job_view
from adreel.service import store_new
from adreel.settings import Settings
from adreel.tasks.events import job_finished
from adreel.tasks.retries import RETRIES, is_last_try, may_pass, told_cleanly
from adreel.tasks.slots import runware_slot

BLOCK = 32
"""Slots that are leased together: one request to Prefect for so many scenes."""


@task(
    name="campaign-ads",
    task_run_name="{ads}",
    **RETRIES,
    persist_result=False,
)
async def campaign_ads(ads: str, make: Callable[[], Awaitable[None]]) -> None:
    """Make some ads; what is stored already is left alone."""
    await make()


@dataclass(frozen=True)
class Campaign:
    """What the ads of a campaign share."""

    name: str
    settings: Settings
    records: Records
    tally: Tally
    again: bool
    runner: Runner
    started: set[str] = field(default_factory=set)
    """The jobs that this run started; a job that was cancelled since is not started again."""

    async def make(self, session: Session) -> Exception | None:
        """Buy and store the scenes of an ad and count it; return a final error, raise a retryable one."""
        try:
            if done := await asyncio.to_thread(self._done_before, session):
                self.tally.add(done)
                return None
            job = await asyncio.to_thread(self._start, session)
        except Exception as error:
            if not is_last_try(error):
                raise
            self.tally.add_failure(session.session_id, str(error))
            return error
        failed = await self._produce(job)
        worth_retrying = min(failed.values(), key=is_final, default=None)
        if worth_retrying and not is_last_try(worth_retrying):
            raise worth_retrying
        view = await asyncio.to_thread(self._end, job, failed)
        self.tally.add(view)
        job_finished(view)
        return worth_retrying

    def _done_before(self, session: Session) -> JobView | None:
        job_id = job_of(self.name, session.session_id)
        view = job_view(self.records, job_id) if self.records.job(job_id) else None
        return view if view and view.overall_status == State.COMPLETED else None

    def _start(self, session: Session) -> Job:
        job_id = job_of(self.name, session.session_id)
        found = self.records.job(job_id)
        if found is None:
            all_anew = None if self.again else "a campaign that buys again: `adreel campaign --again`"
            store_new(self.records, self.settings, session, session.scenarios, all_anew=all_anew)
        elif job_id in self.started and found.cancelled_at is not None:
            raise JobCancelled(f"job {job_id} was cancelled: the same campaign again goes on with it")
        self.started.add(job_id)
        return start_job(
            self.records, self.settings, job_id, session.session_id, scenarios=session.scenarios, runner=self.runner
        )

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


class Batch:
    """The ads of one task; `leave` is called for each place in the window that is free again."""

    def __init__(self, campaign: Campaign, sessions: list[Session], leave: Callable[[int], None]) -> None:
        self._campaign = campaign
        self._left = {session.session_id: session for session in sessions}
        self._failed: list[Exception] = []
        self._leave = leave
        first, last = sessions[0].session_id, sessions[-1].session_id
        self.name = f"ad-{first}" if first == last else f"ads-{first}-to-{last}"

    async def make(self) -> None:
        """Make what is left; raises what keeps an ad from being made now, or has kept one for good."""
        outcomes = await asyncio.gather(*map(self._make_one, list(self._left.values())), return_exceptions=True)
        for error in outcomes:
            if isinstance(error, Exception):
                raise told_cleanly(error)
            if error is not None:
                raise error
        if self._failed:
            raise told_cleanly(self._failed[0])

    async def _make_one(self, session: Session) -> None:
        # One that is counted, well or badly, is done with: a further try of the others would buy it anew.
        if failure := await self._campaign.make(session):
            self._failed.append(failure)
        self._go(session)

    def end(self) -> None:
        """Give back the places of ads that were not made to their end."""
        for session in list(self._left.values()):
            self._go(session)

    def _go(self, session: Session) -> None:
        del self._left[session.session_id]
        self._leave(len(session.scenarios))


def is_final(error: Exception) -> bool:
    """Whether trying again by itself can't help."""
    return not may_pass(error)
