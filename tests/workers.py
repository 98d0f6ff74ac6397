"""Real processes of Prefect for tests: servers with all their services, workers, and what their runs leave behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from adreel.deployments import deploy as deploying
from adreel.orchestration.embedded_server import RUN_UVICORN
from adreel.settings import Settings
from tests.prefect_database import copy_empty_database

BIN = Path(sys.executable).parent
PREFECT = BIN / "prefect"
PREFECT_YAML = Path(__file__).parent.parent / "prefect.yaml"
PATIENCE = 120.0

T = TypeVar("T")


@contextmanager
def prefect_server(home: Path, port: int = 0, **settings: str) -> Iterator[str]:
    """Run `prefect server start` with its database and its leases in a folder, and give its API's address."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "prefect.db").exists():
        copy_empty_database(home / "prefect.db")
    port = port or free_port()
    environment = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        **settings,
    }
    url = f"http://127.0.0.1:{port}/api"
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, home / "server.log", environment) as process:
        until(lambda: process.poll() is not None or _answers(url), f"the server in {home}")
        assert process.poll() is None, (home / "server.log").read_text()
        yield url


@contextmanager
def ephemeral_server(home: Path) -> Iterator[str]:
    """Run the server of Prefect's own test harness, but do not import it into this process, which takes a second."""
    copy_empty_database(home / "prefect.db")
    port = free_port()
    environment = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # No test of them has a block.
        "PREFECT_SERVER_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    app = ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on", "--log-level", "error"]
    command = ["python", "-P", "-c", RUN_UVICORN, *app, "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}/api"
    with running(command, home / "server.log", environment) as process:
        until(lambda: process.poll() is not None or _answers(url), f"the server in {home}")
        assert process.poll() is None, (home / "server.log").read_text()
        yield url


def deploy(url: str) -> None:
    """Create the work pool and the deployments on a server, as `adreel deploy` does."""
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        list(deploying.deploy(client, Settings()))


def deploy_by_prefect(url: str, folder: Path) -> None:
    """Create the work pool and the deployments with Prefect's own commands."""
    shutil.copy(PREFECT_YAML, folder)
    environment = {**os.environ, "PREFECT_API_URL": url}
    for command in (
        ["work-pool", "create", "adreel", "--type", "process", "--overwrite"],
        ["--no-prompt", "deploy", "--all"],
    ):
        done = subprocess.run(
            [PREFECT, *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def worker(name: str = "worker", *options: str, plain: bool = False) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker until the context ends, with what it says in a file of its name."""
    command = ["prefect", "worker", "start", "--pool", "adreel"] if plain else ["adreel", "worker"]
    with running([*command, "--name", name, *options], Path(f"{name}.log")) as process:
        yield process


@contextmanager
def running(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command, and end it with the context."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [BIN / command[0], *command[1:]], stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def recovery(url: str, log: Path) -> Iterator[None]:
    """Bring runs of dead workers back until the context ends, sooner than an installation would."""
    with running(["adreel", "recover", "--silence", "45", "--start", "60"], log, {"PREFECT_API_URL": url}):
        yield


def start(deployment: str, **parameters: Any) -> UUID:
    """Order a run of a deployment."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        return client.create_flow_run_from_deployment(found.id, parameters=parameters).id


def read(run_id: UUID) -> FlowRun:
    """Return a run as the server knows it."""
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def state_name(run_id: UUID) -> str:
    """Return the name of a run's state."""
    return read(run_id).state_name or ""


def has_sent(run_id: UUID, event: str) -> bool:
    """Whether the server has had an event of a run."""
    wanted = {
        "occurred": {"until": "2999-01-01T00:00:00Z"},
        "event": {"name": [event]},
        "resource": {"id": [f"prefect.flow-run.{run_id}"]},
    }
    with get_client(sync_client=True) as client:
        return bool(client.request("POST", "/events/filter", json={"filter": wanted}).json()["events"])


def ended(run_id: UUID) -> FlowRun:
    """Wait for the end of a run and return it."""

    def final() -> FlowRun | None:
        run = read(run_id)
        return run if run.state and run.state.is_final() else None

    return until(final, f"the end of run {run_id}")


def until(condition: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """Wait until a condition gives something true, and return that."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > deadline:
            logs = "\n".join(f"{log}:\n{log.read_text()}" for log in Path().glob("*.log"))
            raise TimeoutError(f"waited {patience:g} s for {what}\n{logs}")
        time.sleep(0.1)
    return found


def processes_of(run_id: UUID) -> list[int]:
    """List the processes that carry out a run or belong to it, by their environment."""
    wanted = f"PREFECT__FLOW_RUN_ID={run_id}".encode()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and wanted in _environ(entry)]


def kill_run(run_id: UUID) -> None:
    """Kill what there is of a run on this machine."""
    while processes := processes_of(run_id):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def _environ(process: Path) -> list[bytes]:
    try:
        # A process that has ended and was not waited for yet has none any more.
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/health").is_success
    return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
