"""`adreel worker`: Prefect's process worker, whose runs start warm and see the settings of its own folder.

The work pool is of Prefect's own type `process`: plain workers may serve it as well, and start each run anew.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.utilities.processutils import command_to_string, setup_signal_handlers_worker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from adreel.deployments import fork_server, launcher
from adreel.errors import AdreelError, InputError
from adreel.orchestration.errors import explain
from adreel.records import Records
from adreel.settings import Settings
from adreel.settings.env_file import read_env_file

OURS = ("ADREEL_", "RUNWARE_")
QUERY_SECONDS = 1.0
BACKLOG = 128
END_SECONDS = 5.0


class WarmConfiguration(ProcessJobConfiguration):
    """The command of a run: the launcher, unless the deployment has its own."""

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        """Fill in what Prefect's own worker fills in, and the command."""
        self.command = self.command or command_to_string([sys.executable, "-IS", launcher.__file__])
        super().prepare_for_flow_run(*arguments, **named)


class WarmWorker(ProcessWorker):
    """A process worker whose runs start warm, with a place beside its limit for a run that is carried on."""

    type = "adreel"
    job_configuration = WarmConfiguration
    _trouble = ""

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Poll for runs and start them. On an error of Prefect start none, and poll again later."""
        async with self._asking_on():
            return await super().get_and_submit_flow_runs()
        return []

    async def sync_with_backend(self) -> None:
        """Send a heartbeat and read the work pool; an error of Prefect is left to the next time."""
        async with self._asking_on():
            await super().sync_with_backend()

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

    @asynccontextmanager
    async def _asking_on(self) -> AsyncIterator[None]:
        # Prefect's own worker ends after repeated errors, and ends its runs, whose clips are paid.
        try:
            yield
        except Exception as error:
            if (explained := explain(error)) is None:
                raise
            if str(explained) != self._trouble:
                self._logger.warning("%s; asking on", explained)
            self._trouble = str(explained)
        else:
            self._trouble = ""

    async def _submit_scheduled_flow_runs(self, flow_run_response: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        # A run that is retried while its earlier process still ends makes Prefect's worker die, with all its runs
        # (PrefectHQ/prefect#16806): it is taken at the next look.
        ready = self._not_under_way(flow_run_response)
        begun = await super()._submit_scheduled_flow_runs(ready)
        left = [response for response in self._not_under_way(ready) if response.flow_run.run_count]
        if not left:
            return begun
        # A killed run may hold the slots that all runs here wait for: it must not wait for one of them to end.
        holding = await asyncio.to_thread(those_with_slots, left)
        within = self.limiter.total_tokens
        self.limiter.total_tokens = within + 1
        try:
            return begun + await super()._submit_scheduled_flow_runs(holding)
        finally:
            self.limiter.total_tokens = within

    def _not_under_way(self, responses: list[WorkerFlowRunResponse]) -> list[WorkerFlowRunResponse]:
        under_way = self.limiter.statistics().borrowers
        return [response for response in responses if response.flow_run.id not in under_way]


def those_with_slots(responses: list[WorkerFlowRunResponse]) -> list[WorkerFlowRunResponse]:
    """Return the runs that may hold slots; none if the storage can't be read."""
    try:
        records = Records.of(Settings.load())
        return [response for response in responses if may_hold_slots(records, str(response.flow_run.id))]
    except AdreelError:
        return []


def may_hold_slots(records: Records, run_id: str) -> bool:
    """Whether a run that was killed holds slots by the records of its job, or they don't tell."""
    job = records.job(run_id)
    if job is None:  # A campaign's run, or a resume's, works on the jobs of others.
        return True
    takes = [records.take(job.session_id, scenario, job.job_id) for scenario in job.scenarios]
    attempts = [take.attempts[-1] for take in takes if take and take.attempts]
    return any(attempt.slot and attempt.is_in_flight for attempt in attempts)


# Registered under a name of its own, it takes nobody's place; the pools that it serves are Prefect's.
WarmWorker.type = ProcessWorker.type


def work(client: SyncPrefectClient, pool: str, name: str | None, limit: int, *, with_healthcheck: bool) -> None:
    """Carry out the runs of a pool until a signal comes; the runs under way are then ended, to be carried on."""
    _check_pool(client, pool)
    os.environ.update(environment_of_runs(Settings.load(), os.environ))
    often = temporary_settings(set_defaults={PREFECT_WORKER_QUERY_SECONDS: QUERY_SECONDS})
    with often, _own_temporary_folder(), _warm_process() as address:
        os.environ[launcher.SOCKET] = address
        # A background job of a script ignores SIGINT, and Prefect's handler turns SIGTERM into SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        setup_signal_handlers_worker(os.getpid(), "the worker", print)
        # A closed terminal (SIGHUP) ends the worker like SIGTERM, unless nohup ignores it.
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        worker = WarmWorker(work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False)
        asyncio.run(worker.start(with_healthcheck=with_healthcheck))


def _check_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        raise InputError(f"no work pool {name!r} on {client.api_url}: adreel deploy makes it") from None
    if found.type != ProcessWorker.type:
        raise InputError(
            f"work pool {name!r} is of type {found.type!r}: `prefect worker start --pool {name}` serves it"
        )


def environment_of_runs(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that means the same in the temporary folder of a run, where no `.env` lies."""
    if settings.storage.startswith("memory:"):
        raise InputError("ADREEL_STORAGE is memory://: each run would have its own")
    # Settings ignore the case of names. An empty key is passed on: it disables the Secret block.
    given = {name.upper() for name in environment}
    named = {name.upper(): value for name, value in read_env_file().items()}
    ours = {name: value for name, value in named.items() if name.startswith(OURS) and name not in given}
    return {
        **ours,
        **environment,
        "ADREEL_STORAGE": settings.absolute_storage,
    }


@contextmanager
def _own_temporary_folder() -> Iterator[None]:
    """Use a private folder for temporary files. Prefect's fixed name in `/tmp` belongs to one user of the machine."""
    with tempfile.TemporaryDirectory(prefix="adreel-", ignore_cleanup_errors=True) as folder:
        earlier = tempfile.tempdir
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = earlier


@contextmanager
def _warm_process() -> Iterator[str]:
    """Run the process that the runs are forked off, and give its address; if it dies, they start cold."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/socket"
        # A run that comes before the imports are done waits for them.
        listener.bind(address)
        listener.listen(BACKLOG)
        process = subprocess.Popen(  # noqa: S603 - this project's own module
            [sys.executable, "-P", "-m", fork_server.__name__, str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            # A Ctrl-C reaches the runs through their launchers, once.
            start_new_session=True,
        )
        listener.close()
        try:
            yield address
        finally:
            try:
                process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:  # It is still importing, on a machine that is busy.
                process.kill()
                process.wait()
