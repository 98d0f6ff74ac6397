"""`adreel worker`: Prefect's process worker, with runs that start warm and have the settings of the worker's folder.

The work pool has Prefect's own type `process`. Plain Prefect workers may serve it as well, and start each run cold.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from adreel.deployments import fork_server, handover, launcher
from adreel.deployments.studio_folder import STUDIO_VARIABLE
from adreel.errors import AdreelError, InputError
from adreel.orchestration.errors import explain
from adreel.records import Records
from adreel.settings import Settings
from adreel.settings.env_file import read_env_file

# The settings that the runs take over from the worker's `.env`.
SETTING_PREFIXES = ("ADREEL_", "RUNWARE_")
QUERY_SECONDS = 1.0


class WarmConfiguration(ProcessJobConfiguration):
    """A run's command is the launcher, unless the deployment has its own."""

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        """Set the command, then let Prefect prepare the rest."""
        self.command = self.command or command_to_string([sys.executable, "-IS", launcher.__file__])
        super().prepare_for_flow_run(*arguments, **named)


class WarmWorker(ProcessWorker):
    """A process worker whose runs start warm, with one place above its limit for a run that is recovered."""

    type = "adreel"
    job_configuration = WarmConfiguration
    _last_error = ""

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Poll for runs and start them. On an error of Prefect start none, and poll again later."""
        async with self._tolerate_prefect_errors():
            return await super().get_and_submit_flow_runs()
        return []

    async def sync_with_backend(self) -> None:
        """Send a heartbeat and read the work pool; after an error of Prefect, the next call tries again."""
        async with self._tolerate_prefect_errors():
            await super().sync_with_backend()

    @asynccontextmanager
    async def _tolerate_prefect_errors(self) -> AsyncIterator[None]:
        # Prefect's own worker exits after repeated errors, and ends its runs, whose clips are paid.
        try:
            yield
        except Exception as error:
            if (explained := explain(error)) is None:
                raise
            if str(explained) != self._last_error:
                self._logger.warning("%s; retrying", explained)
            self._last_error = str(explained)
        else:
            self._last_error = ""

    async def _submit_run(self, flow_run: FlowRun) -> None:
        try:
            await super()._submit_run(flow_run)
        except Exception as error:
            if (explained := explain(error)) is None:
                raise
            # The run was not started, so Prefect offers it again at the next poll.
            self._logger.warning("run %s was not started: %s", flow_run.id, explained)
            self._release_limit_slot(flow_run.id)
            self._submitting_flow_run_ids.discard(flow_run.id)

    async def _submit_scheduled_flow_runs(self, flow_run_response: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        # A run that is retried while its earlier process still ends would make Prefect's worker exit, with all its runs
        # (PrefectHQ/prefect#16806). The next poll offers it again.
        ready = self._without_active(flow_run_response)
        started = await super()._submit_scheduled_flow_runs(ready)
        left = [response for response in self._without_active(ready) if response.flow_run.run_count]
        if not left:
            return started
        # A killed run may hold the slots that all runs here wait for, so it must not wait for one of them to end.
        holding = await asyncio.to_thread(runs_that_may_hold_slots, left)
        limit = self.limiter.total_tokens
        self.limiter.total_tokens = limit + 1
        try:
            return started + await super()._submit_scheduled_flow_runs(holding)
        finally:
            self.limiter.total_tokens = limit

    def _without_active(self, responses: list[WorkerFlowRunResponse]) -> list[WorkerFlowRunResponse]:
        active = self.limiter.statistics().borrowers
        return [response for response in responses if response.flow_run.id not in active]


def runs_that_may_hold_slots(responses: list[WorkerFlowRunResponse]) -> list[WorkerFlowRunResponse]:
    """Filter the runs that may hold slots; none if the storage can't be read."""
    try:
        records = Records.of(Settings.load())
        return [response for response in responses if may_hold_slots(records, str(response.flow_run.id))]
    except AdreelError:
        return []


def may_hold_slots(records: Records, run_id: str) -> bool:
    """Whether a killed run may hold slots, by the records of its job. A run without a job of its own may."""
    job = records.job(run_id)
    if job is None:  # A run of a campaign or of `resume` works on the jobs of others.
        return True
    takes = [records.take(job.session_id, scenario, job.job_id) for scenario in job.scenarios]
    attempts = [take.attempts[-1] for take in takes if take and take.attempts]
    return any(attempt.slot and attempt.is_in_flight for attempt in attempts)


# Prefect registers worker classes by type, and the class above must not replace Prefect's own. The pools that it serves
# have Prefect's type.
WarmWorker.type = ProcessWorker.type


def work(
    client: SyncPrefectClient,
    pool: str,
    name: str | None,
    limit: int,
    *,
    with_healthcheck: bool,
    preload: Sequence[str] = (),
) -> None:
    """Execute the runs of a pool until a signal comes. The active runs then end, and can be recovered.

    The worker of a studio has a process for each command beside it, which has imported `preload`.
    """
    try:
        found = client.read_work_pool(pool)
    except ObjectNotFound:
        raise InputError(f"no work pool {pool!r} on {client.api_url}: adreel deploy creates it") from None
    if found.type != ProcessWorker.type:
        raise InputError(
            f"work pool {pool!r} is of type {found.type!r}: `prefect worker start --pool {pool}` serves it"
        )
    os.environ.update(environment_of_runs(Settings.load(), os.environ))
    studio = os.environ.get(STUDIO_VARIABLE)
    with (
        temporary_settings(set_defaults={PREFECT_WORKER_QUERY_SECONDS: QUERY_SECONDS}),
        _private_temporary_folder() as folder,
        fork_server.running(folder, preload if studio else ()) as address,
    ):
        os.environ[launcher.SOCKET] = address
        if studio:
            handover.link_server(Path(studio), address)
        # With this handler asyncio cancels the worker's task. The handler of Prefect's command raises KeyboardInterrupt
        # in whatever code runs. A background job of a script begins with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _interrupt)
        # A closed terminal (SIGHUP) ends the worker like SIGTERM, unless nohup ignores it.
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, _interrupt)
        worker = WarmWorker(work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False)
        asyncio.run(worker.start(with_healthcheck=with_healthcheck))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


@contextmanager
def _private_temporary_folder() -> Iterator[str]:
    """Use a private folder for temporary files. Prefect's fixed name in `/tmp` belongs to one user of the machine."""
    earlier = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="adreel-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = earlier


def environment_of_runs(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that means the same in the temporary folder of a run, which has no `.env`."""
    if settings.storage.startswith("memory:"):
        raise InputError("ADREEL_STORAGE is memory://: each run would have its own")
    # Settings ignore the case of names. An empty key is passed on: it disables the Secret block.
    given = {name.upper() for name in environment}
    named = {name.upper(): value for name, value in read_env_file().items()}
    from_file = {
        name: value for name, value in named.items() if name.startswith(SETTING_PREFIXES) and name not in given
    }
    return {**from_file, **environment, "ADREEL_STORAGE": settings.absolute_storage}
