"""The task that makes some ads of a campaign, with all their scenes: a campaign has thousands.

A task, a progress bar, a poster and events for each scene would cost more than the rest, and so would a task for each
ad. An ad of a campaign emits one event when it is done. The storyboard and `adreel status` show it at any time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

from prefect import task

from adreel.campaigns import Tally, campaign_job_id
from adreel.errors import AccountError, BuyingStopped, JobCancelled, OverBudget, clean_error
from adreel.models.api import State
from adreel.models.cut_settings import CutOptions
from adreel.models.parts import Part
from adreel.models.runners import Runner
from adreel.models.sessions import Session
from adreel.models.spend import new_mark, to_micros
from adreel.models.takes import Job
from adreel.purchase.jobs import buy_scene, end_job, end_jobs_of_run, record_failure, start_job
from adreel.records import Records
from adreel.records.views import JobView, has_all_clips, job_view, readable_takes
from adreel.service import store_for_generation
from adreel.settings import Settings
from adreel.tasks.cut_ad import cut_in_slot
from adreel.tasks.events import job_finished
from adreel.tasks.retries import TASK_OPTIONS, is_last_try, is_retryable
from adreel.tasks.slots import runware_slot

SLOTS_PER_LEASE = 32


@task(name="campaign-ads", task_run_name="{ads}", **TASK_OPTIONS)
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
    cuts: bool = True
    """Whether the finished ad is made of each completed ad."""
    clip_price: float | None = None
    """USD of each clip whose price is unknown."""
    mark: str = field(default_factory=new_mark)
    """Mark of its holds. A repeated try takes over those of the try before, and the end of a job releases them."""
    finished: set[str] = field(default_factory=set)
    """The sessions whose finished ad an earlier run of the campaign has made."""
    started: set[str] = field(default_factory=set)
    """The jobs that this run started. A job that was cancelled since then is not started again."""

    @cached_property
    def recorded(self) -> frozenset[str]:
        """The jobs in the storage when a budget stopped the campaign, those of an earlier run included."""
        return frozenset(self.records.job_ids())

    def continues(self, session: Session) -> bool:
        """Whether an ad is made. After a stop by a budget, only ads are that were started before: they hold money."""
        if not self.tally.stopped:
            return True
        return self.tally.is_over_budget and campaign_job_id(self.name, session.session_id) in self.recorded

    async def make(self, session: Session) -> Exception | None:
        """Buy and store the scenes of an ad and count it; return a final error, raise a retryable one.

        Account trouble and a budget without money stop the campaign: the next ads would be refused as well. An ad that
        a budget refuses before its first try is not counted.
        """
        own_budget = f"session:{session.session_id}"
        try:
            started = await asyncio.to_thread(self._start, session)
        except OverBudget as error:
            if error.budget != own_budget:
                self.tally.stop(str(error), is_over_budget=True)
            if ended := await asyncio.to_thread(self._end_refused, session, error):
                self.tally.add(ended)
                job_finished(ended)
            elif error.budget == own_budget:
                self.tally.add_failure(session.session_id, str(error))
            return error if error.budget == own_budget else None
        except Exception as error:
            if not is_last_try(error):
                raise
            self.tally.add_failure(session.session_id, str(error))
            return error
        if isinstance(started, JobView) or started.is_stored:
            self._count_completed(started)
            return None
        job = started
        failed: dict[Part, Exception] = {}

        async def produce(scenario: Part) -> None:
            slot = partial(runware_slot, block=SLOTS_PER_LEASE)
            try:
                # Clips that are ordered together end together: their posters are drawn when they are asked for.
                await buy_scene(self.records, self.settings, job, scenario, slot=slot, draws_poster=False)
            except Exception as error:
                failed[scenario] = error

        def finish() -> JobView:
            for scenario, error in failed.items():
                record_failure(self.records, job, scenario, error)
            takes = readable_takes(self.records, job)
            ended = end_job(self.records, job, takes=takes)
            return job_view(self.records, job.job_id, ended, takes)

        await asyncio.gather(*map(produce, job.scenarios))
        refused = {scenario: error for scenario, error in failed.items() if isinstance(error, AccountError)}
        for attempt in failed.values():
            if isinstance(attempt, OverBudget) and attempt.budget != own_budget:
                self.tally.stop(str(attempt), is_over_budget=True)
        for refusal in refused.values():
            if not isinstance(refusal, BuyingStopped):
                self.tally.stop(f"{session.session_id}: {refusal}")
        # A retry helps if it helps any scene.
        failure = min(failed.values(), key=lambda error: not is_retryable(error), default=None)
        if failure and not refused and not is_last_try(failure):
            raise failure
        view = await asyncio.to_thread(finish)
        self.tally.add(view, untold=refused)
        job_finished(view)
        return failure

    def _count_completed(self, found: Job | JobView) -> None:
        """Count an ad that an earlier run has completed."""
        if isinstance(found, JobView):
            self.tally.add(found)
            return
        self.tally.add_stored(found)
        if found.cut:
            self.finished.add(found.session_id)

    async def cut(self, session_id: str) -> None:
        """Make the finished ad of a completed ad with all scenes. A failure is noted: the clips are stored."""
        if not (self.cuts and self.settings.cut) or session_id in self.finished:
            return

        def record(cut_id: str, job: Job | None) -> Job | None:
            return job.model_copy(update={"cut": cut_id}) if job and job.cut != cut_id else None

        try:
            if await asyncio.to_thread(has_all_clips, self.records, session_id):
                cut = await cut_in_slot(self.records, session_id, CutOptions(), lambda _percent, _step: None)
                job_id = campaign_job_id(self.name, session_id)
                await asyncio.to_thread(self.records.update_job, job_id, partial(record, cut.cut_id))
        except Exception as error:
            self.tally.note(f"{session_id}: the clips are stored, but no finished ad was made: {error}")

    def _start(self, session: Session) -> Job | JobView:
        """Start the job of an ad. A completed one is returned as it is, or as a view if its record does not say so."""
        records, settings, parts = self.records, self.settings, session.parts
        job_id = campaign_job_id(self.name, session.session_id)
        found = records.job(job_id)
        if found is None:
            override_hint = None if self.again else "a campaign that buys again: `adreel campaign --again`"
            store_for_generation(records, settings, session, parts, override_hint=override_hint, campaign=self.name)
        elif found.is_stored:
            return found
        else:
            view = job_view(records, job_id, found)
            if view.overall_status == State.COMPLETED:
                return view
            if job_id in self.started and found.cancelled_at is not None:
                raise JobCancelled(
                    f"job {job_id} was cancelled: the same campaign continues it when it is started again"
                )
        self.started.add(job_id)
        return start_job(
            records,
            settings,
            job_id,
            session.session_id,
            scenarios=parts,
            runner=self.runner,
            clip_price=to_micros(self.clip_price),
            mark=self.mark,
            is_new=found is None,
        )

    def _end_refused(self, session: Session, error: OverBudget) -> JobView | None:
        """End the job of an ad whose retry a budget has refused; None if no try of this run has started it."""
        job = self.records.job(campaign_job_id(self.name, session.session_id))
        if job is None or job.ended_at is not None or job.run_id != self.runner.run_id:
            return None
        for scenario in job.scenarios:
            record_failure(self.records, job, scenario, error)
        end_jobs_of_run(self.records, job.run_id, job.job_id)
        return job_view(self.records, job.job_id)


class Batch:
    """The ads of one task. `leave` is called with the number of parts of each ad that has ended."""

    def __init__(self, campaign: Campaign, sessions: list[Session], leave: Callable[[int], None]) -> None:
        self._campaign = campaign
        self._open = {session.session_id: session for session in sessions}
        self._failed: list[Exception] = []
        self._leave = leave
        first, last = sessions[0].session_id, sessions[-1].session_id
        self.name = f"ad-{first}" if first == last else f"ads-{first}-to-{last}"

    async def make(self) -> None:
        """Make the open ads. Raises the first error, retryable errors before final ones."""

        async def make_one(session: Session) -> None:
            if not await asyncio.to_thread(self._campaign.continues, session):
                self._close(session)
                return
            # A counted ad is done, well or badly. A retry for the others must not buy it again.
            failure = await self._campaign.make(session)
            # A render takes no place in the window, which bounds what Runware renders.
            self._close(session)
            if failure:
                self._failed.append(failure)
            else:
                await self._campaign.cut(session.session_id)

        outcomes = await asyncio.gather(*map(make_one, list(self._open.values())), return_exceptions=True)
        for error in outcomes:
            if isinstance(error, Exception):
                raise clean_error(error)
            if error is not None:
                raise error
        if self._failed:
            raise clean_error(self._failed[0])

    def end(self, _future: object) -> None:
        """Leave the window with the ads that are still open; a callback of the task's future."""
        for session in list(self._open.values()):
            self._close(session)

    def _close(self, session: Session) -> None:
        del self._open[session.session_id]
        self._leave(len(session.parts))
