"""The processes of an installation, which are restarted: Prefect server, emulator, workers and recovery."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx

from tests.rigs.chaos.api import Api
from tests.rigs.chaos.processes import MARK, end_all, kill

REPOSITORY = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
KEY = "sk-chaos-3f9a1c7e5b2d48f6"
POOL = "adreel"
START_SECONDS = 120.0


@dataclass(frozen=True)
class StackSettings:
    """The settings of an installation. Times are in seconds."""

    workers: int = 2
    runs_of_a_worker: int = 4
    slots: int = 24
    render_seconds: float = 4.0
    silence: int = 45
    """A run without a heartbeat for this time counts as dead."""
    start: int = 90
    """A run that was claimed for this time and has not begun counts as dead."""
    faults: tuple[str, ...] = ()


@dataclass
class Service:
    """A supervised process. `deaths` counts its unexpected ends."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    answers: Callable[[], bool]
    deaths: int = 0
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """The process, while it lives."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it in its own process group, so that Ctrl-C reaches only the rig."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, env=self.environment, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None:
            kill(self._process.pid)
            self._process.wait()
            self._process = None

    def keep(self) -> None:
        """Restart it if it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            self.deaths += 1
            self.start()


class Stack:
    """An installation in a folder."""

    def __init__(self, folder: Path, settings: StackSettings) -> None:
        self.folder, self.settings = folder, settings
        self.mark = uuid4().hex
        self.storage, self.ledger_file, self.home = folder / "outputs", folder / "ledger.jsonl", folder / "prefect"
        self.logs = folder / "logs"
        api_port, runware_port = _free_port(), _free_port()
        self.api = Api(f"http://127.0.0.1:{api_port}/api")
        self._environment = _environment(self, api_port, runware_port)
        self.server = self._service(
            "Prefect server", ["prefect", "server", "start", "--port", str(api_port)], self.api.is_up
        )
        self.runware = self._service(
            "local Runware", _runware_command(self, runware_port), lambda: _listens(f"127.0.0.1:{runware_port}")
        )
        limit = ["--limit", str(settings.runs_of_a_worker)]
        worker = ["prefect", "worker", "start", "--pool", POOL, "--type", "process", *limit, "--name"]
        self.workers = [
            self._service(f"worker-{number}", [*worker, f"worker-{number}"], lambda: True)
            for number in range(1, settings.workers + 1)
        ]
        patience = ["--silence", str(settings.silence), "--start", str(settings.start)]
        self.recovery = self._service("recovery", ["adreel", "recover", *patience], lambda: True)

    @property
    def services(self) -> list[Service]:
        """All supervised processes."""
        return [self.runware, self.server, *self.workers, self.recovery]

    def start(self) -> None:
        """Start all services and wait until they respond."""
        for folder in (self.logs, self.storage, self.home, self.folder / "tmp"):
            folder.mkdir(parents=True)
        self.runware.start()
        self.server.start()
        self._wait_until_up()
        self._run("prefect", "work-pool", "create", POOL, "--type", "process")
        self._run("prefect", "--no-prompt", "deploy", "--all")
        for service in (*self.workers, self.recovery):
            service.start()

    def is_up(self) -> bool:
        """Whether every service runs and responds."""
        return all(service.pid is not None and service.answers() for service in self.services)

    def keep(self) -> None:
        """Restart services that ended by themselves."""
        for service in self.services:
            service.keep()

    def stop(self) -> None:
        """End all processes, including orphans."""
        end_all(self.mark)
        for service in self.services:
            service.kill()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (self.server.answers() and self.runware.answers()):
            if time.monotonic() > deadline or self.server.pid is None or self.runware.pid is None:
                raise TimeoutError(f"the server and the emulator did not start: see {self.logs}")
            time.sleep(0.2)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=self._environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")

    def _service(self, name: str, command: list[str], answers: Callable[[], bool]) -> Service:
        path = self.logs / f"{name.replace(' ', '-')}.log"
        return Service(name, [str(BIN / command[0]), *command[1:]], self._environment, path, answers)


@contextmanager
def running(folder: Path, settings: StackSettings, *, keep: bool = False) -> Iterator[Stack]:
    """Run an installation and leave no process behind. `keep` keeps its files."""
    stack = Stack(folder, settings)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _environment(stack: Stack, api_port: int, runware_port: int) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ADREEL_", "RUNWARE_"))
    }
    return {
        **kept,
        MARK: stack.mark,
        "TMPDIR": str(stack.folder / "tmp"),
        "PREFECT_HOME": str(stack.home),
        "PREFECT_API_URL": f"http://127.0.0.1:{api_port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Leases in the server's memory would be lost with it, and their slots taken for ever.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "RUNWARE_API_KEY": KEY,
        "RUNWARE_URL": f"ws://127.0.0.1:{runware_port}/v1",
        "ADREEL_STORAGE": str(stack.storage),
        "ADREEL_MODEL": "bytedance:2@2",
        "ADREEL_SIZE": "64x64",
        "ADREEL_CONCURRENCY": str(stack.settings.slots),
        # The rig is about purchases. A cut that a kill interrupts leaves segments, which verify reports.
        "ADREEL_CUT": "false",
    }


def _runware_command(stack: Stack, port: int) -> list[str]:
    options = {
        "--port": str(port),
        "--render-seconds": str(stack.settings.render_seconds),
        "--ledger": stack.ledger_file,
    }
    words = [str(word) for option in options.items() for word in option]
    return ["adreel", "local-runware", *words, *(f"--fault={fault}" for fault in stack.settings.faults)]


def _listens(address: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://{address}/ledger", timeout=5).is_success
    return False


def _free_port() -> int:
    # Below the ephemeral ports: otherwise a client could connect to itself while the server is down.
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
