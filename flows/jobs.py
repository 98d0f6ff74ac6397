"""The jobs of a flow run: started or resumed before their scenes are mapped, ended and summed up after them."""

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.futures import wait
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.runtime import flow_run
from prefect.states import Failed
from rich.console import Console

from adreel.errors import AdreelError, InputError, OverBudget, collect_errors
from adreel.models.cut_settings import CutOptions
from adreel.models.parts import Part
from adreel.models.runners import Runner, registered_run
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges, Session
from adreel.models.spend import OVER_BUDGET, new_mark, to_micros
from adreel.models.takes import Job
from adreel.orchestration.errors import without_prefix
from adreel.orchestration.liveness import jobs_with_live_run
from adreel.purchase.balance import expected_cost, warn_of_balance
from adreel.purchase.jobs import end_job, end_jobs_of_run, open_scenes, resume_job, start_job
from adreel.records import Records
from adreel.records.views import SceneView, failure_lines, has_all_clips, job_view, readable_takes
from adreel.service import HOLD, store_for_generation
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from adreel.spend.notices import listen
from adreel.tasks import retries
from adreel.tasks.artifacts import show_job_summary
from adreel.tasks.crash_reporter import crash_reporter
from adreel.tasks.credentials import load_settings
from adreel.tasks.cut_ad import cut_ad
from adreel.tasks.events import budget_reached, job_finished
from adreel.tasks.retries import RETRY_DELAYS, retry_unavailable
from adreel.tasks.slots import CUTS_AT_ONCE, CUTS_LIMIT, ensure_limit

Work = list[tuple[Job, list[Part]]]
"""Jobs with the parts to buy."""
Outcome = list[SceneView] | State[Any]
retrying, STORAGE = retries.retrying, retries.STORAGE
"""For the command line, which does not import tasks."""


def open_records() -> tuple[Settings, Records]:
    """Return the settings and records of a flow run; InputError for a storage that would end with the run."""
    survive_broken_output()
    listen(budget_reached)
    settings = Settings.load()
    # A worker's run has a temporary folder and its own memory. A clip that is stored there ends with the run.
    if is_of_deployment() and settings.is_process_local_storage:
        raise InputError(
            f"ADREEL_STORAGE is {settings.storage!r}, which ends with a worker's run: give the worker an absolute path,"
            " such as $PWD/outputs, or a URL"
        )
    return settings, Records.of(settings)


def is_of_deployment() -> bool:
    """Whether a worker makes the current run, not a command in its own process."""
    # `prefect.runtime.deployment` would ask the server.
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.deployment_id)


def survive_broken_output() -> None:
    """Discard the output of a run whose worker has died. Rich would exit the process at the next log line."""

    def mute(console: Console) -> None:
        console.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(devnull, stream)
        os.close(devnull)

    for name in list(logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.console.on_broken_pipe = partial(mute, handler.console)  # type: ignore[method-assign]


@contextmanager
def job_run() -> Iterator["JobRun"]:
    """Register the current flow run as the runner of its jobs."""
    settings, records = open_records()
    context = FlowRunContext.get()
    started = context.flow_run if context else None
    request = started.idempotency_key if started and HOLD in started.labels else None
    with registered_run(str(flow_run.id)) as runner:
        yield JobRun(settings, records, runner, request)


@dataclass(frozen=True)
class JobRun:
    """A flow run that works on jobs."""

    settings: Settings
    records: Records
    runner: Runner
    request: str | None = None
    """Idempotency key under which the server holds the money of the run's job already."""
    mark: str = field(default_factory=new_mark)
    """Mark of its holds."""

    def start_job(
        self,
        session_id: str,
        scenarios: Sequence[Part] | None,
        changes: SceneChanges | None = None,
        *,
        new: Session | None = None,
        max_cost: float | None = None,
        clip_price: float | None = None,
    ) -> Job:
        """Start the job with the id of the run, or return it if an earlier try started it. Stores a `new` session.

        `max_cost` and `clip_price` are in USD. Raises OverBudget if there is too little money for all scenes.
        """
        records, settings, runner, job_id = self.records, self.settings, self.runner, self.runner.run_id
        tries = count(flow_run.run_count)

        def start() -> Job:
            is_new = next(tries) == 1
            # A retried run already has its job, and people may have changed the session since then.
            if new is not None and (is_new := records.job(job_id) is None):
                store_for_generation(records, settings, new, scenarios, override_hint="a run with its session_id alone")
            return start_job(
                records,
                settings,
                job_id,
                session_id,
                scenarios=scenarios,
                changes=changes,
                runner=runner,
                max_cost=to_micros(max_cost),
                clip_price=to_micros(clip_price),
                request=self.request,
                mark=self.mark,
                is_new=is_new,
            )

        with self._abandoning_refused(job_id):
            job = retry_unavailable(start, iter(RETRY_DELAYS))
        if page := self.settings.public_link(f"/sessions/{job.session_id}"):
            get_run_logger().info("the ad is at %s", page)
        self._warn_of_balance([job])
        return job

    def _warn_of_balance(self, jobs: list[Job]) -> None:
        """Log a warning if the account will not suffice. A command in this process prints it instead."""
        if not is_of_deployment():
            return
        try:
            settings = asyncio.run(load_settings())
        except Exception as error:
            # A task that needs the key retries, and reports it.
            get_run_logger().warning("the balance at Runware is not checked: %s", error)
            return
        warn_of_balance(settings, partial(expected_cost, self.records, settings, jobs), get_run_logger().warning)

    def resume_jobs(
        self,
        target: str,
        broken: list[AdreelError],
        *,
        max_cost: float | None = None,
        clip_price: float | None = None,
    ) -> Work:
        """Resume the open scenes of a job, a session, or `all` jobs, except jobs of another live run."""
        records, settings, delays = self.records, self.settings, iter(RETRY_DELAYS)
        found = retry_unavailable(lambda: open_scenes(records, settings, target, broken), delays)
        busy = jobs_with_live_run(records, [job for job, _ in found], self.runner.run_id)
        for job in busy:
            get_run_logger().warning("job %s is left to run %s, which works on it", job.job_id, job.run_id)
        work = []
        for job, scenes in found:
            if job not in busy:
                with collect_errors(broken), self._abandoning_refused(job.job_id):
                    resume = partial(resume_job, records, settings, job, self.runner, self.request)
                    limits = {"max_cost": to_micros(max_cost), "clip_price": to_micros(clip_price)}
                    resume = partial(resume, **limits, mark=self.mark)
                    work.append((retry_unavailable(resume, delays), scenes))
        if self.request and not work:
            # Another run has completed or taken the job since the request.
            Budgets(self.records).release_request(self.request)
        self._warn_of_balance([job for job, _ in work])
        return work

    @contextmanager
    def _abandoning_refused(self, job_id: str) -> Iterator[None]:
        """Release the hold of the run's request if the block fails. End the job if a budget refuses another try."""
        try:
            yield
        except Exception as error:
            if self.request:
                Budgets(self.records).release_request(self.request)
            if isinstance(error, OverBudget):
                end_jobs_of_run(self.records, self.runner.run_id, job_id)
            raise

    @contextmanager
    def scenes_in_flight(self) -> Iterator[None]:
        """Ensure that the limit exists, and that a crash of this process is reported, while tasks run."""
        ensure_limit(self.settings.concurrency)
        with crash_reporter(self.runner.run_id, flow_run.run_count):
            yield

    def cut(self, session_id: str) -> str:
        """Make the finished ad if every scene has a clip; return why it failed, or nothing.

        A failed cut loses nothing: the clips are stored, and `adreel cut` repeats it at no cost.
        """
        if not self.settings.cut or not has_all_clips(self.records, session_id):
            return ""
        ensure_limit(CUTS_AT_ONCE, CUTS_LIMIT)
        with crash_reporter(self.runner.run_id, flow_run.run_count):
            future = cut_ad.submit(session_id, CutOptions())
            wait([future])
        return "" if future.state.is_completed() else without_prefix(future.state.message or "its task has failed")

    def finish(self, work: Work, broken: list[AdreelError] | None = None) -> Outcome:
        """End the jobs and return their scenes, or a failed state with the reasons."""
        scenes: list[SceneView] = []
        delays = iter(RETRY_DELAYS)
        for job, scenarios in work:
            with collect_errors(broken):
                takes = readable_takes(self.records, job)
                ended = retry_unavailable(partial(end_job, self.records, job, takes=takes), delays)
                view = retry_unavailable(partial(job_view, self.records, job.job_id, ended, takes), delays)
                show_job_summary(self.settings, view)
                job_finished(view)
                scenes += [scene for scene in view.scenes if scene.scenario in scenarios]
        failed = [scene for scene in scenes if scene.status != "completed"]
        if not failed and not broken:
            return scenes
        message = []
        if failed:
            is_of_clips = all(isinstance(scene.scenario, Scenario) for scene in scenes)
            missing = "scenes have no clip" if is_of_clips else "parts are missing"
            message.append(f"{len(failed)} of {len(scenes)} {missing}:")
            message += failure_lines(failed)
        if broken:
            message += [f"{len(broken)} jobs can't be resumed:", *map(str, broken)]
        if not scenes and broken and all(isinstance(error, OverBudget) for error in broken):
            [first, *others] = broken
            return refused(OverBudget("\n".join(message)) if others or not isinstance(first, OverBudget) else first)
        name = "Partial" if len(failed) < len(scenes) else "Failed"
        return Failed(name=name, message=str(AdreelError("\n".join(message))))


def refused(error: OverBudget) -> State[Any]:
    """Return the final state of a run whose job a budget has refused."""
    return Failed(name=OVER_BUDGET, message=str(error), data=error)
