"""`adreel worker`: Prefect's process worker, whose runs start warm and see the settings of its own folder.

The work pool is of Prefect's own type `process`: plain workers may serve it as well, and start each run anew.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dotenv import dotenv_values
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.utilities.processutils import command_to_string, setup_signal_handlers_worker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from adreel.errors import InputError
from adreel.settings import Settings
from deployments import launch, warm

OURS = ("ADREEL_", "RUNWARE_")
QUERY_SECONDS = 1.0
BACKLOG = 128
END_SECONDS = 5.0


class WarmConfiguration(ProcessJobConfiguration):
    """What a run is started with: the launcher, if the deployment wants no command of its own."""

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        """Fill in what Prefect's own worker fills in, and the command."""
        self.command = self.command or command_to_string([sys.executable, "-IS", launch.__file__])
        super().prepare_for_flow_run(*arguments, **named)


class WarmWorker(ProcessWorker):
    """A process worker whose runs start warm."""

    type = "adreel"
    job_configuration = WarmConfiguration

    async def _submit_scheduled_flow_runs(self, flow_run_response: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        # A run that is retried while its earlier process still ends makes Prefect's worker die, with all its runs
        # (PrefectHQ/prefect#16806): it is taken at the next look.
        ending = self.limiter.statistics().borrowers
        ready = [response for response in flow_run_response if response.flow_run.id not in ending]
        return await super()._submit_scheduled_flow_runs(ready)


# Registered under a name of its own, it takes nobody's place; the pools that it serves are Prefect's.
WarmWorker.type = ProcessWorker.type


def work(client: SyncPrefectClient, pool: str, name: str | None, limit: int, *, with_healthcheck: bool) -> None:
    """Carry out the runs of a pool until a signal comes; the runs under way are then ended, to be carried on."""
    _check_pool(client, pool)
    os.environ.update(environment_of_runs(Settings.load(), os.environ))
    often = temporary_settings(set_defaults={PREFECT_WORKER_QUERY_SECONDS: QUERY_SECONDS})
    with often, _warm_process() as address:
        os.environ[launch.SOCKET] = address
        setup_signal_handlers_worker(os.getpid(), "the worker", print)
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
    ours = {name: value for name, value in dotenv_values(".env").items() if name.startswith(OURS) and value}
    return {
        **ours,
        **environment,
        "ADREEL_STORAGE": settings.absolute_storage,
    }


@contextmanager
def _warm_process() -> Iterator[str]:
    """Run the process that the runs are forked off, and give its address; if it dies, they start cold."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/socket"
        # A run that comes before the imports are done waits for them.
        listener.bind(address)
        listener.listen(BACKLOG)
        process = subprocess.Popen(  # noqa: S603 - this project's own module
            [sys.executable, "-m", warm.__name__, str(listener.fileno())],
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
