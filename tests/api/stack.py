"""A whole system of its own: Prefect's server, a worker, the emulator and `adreel serve`, each a real process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from adreel.emulator import LocalRunware, in_thread
from adreel.records import Records
from adreel.storage import Storage

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
PATIENCE = 120.0


def free_port(preferred: int = 0) -> int:
    """Return the port that is preferred if it is free, else any that is."""
    for port in (preferred, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise AssertionError("no port is free")


@contextmanager
def process(*command: str, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of the project until the end of the block."""
    with log.open("ab") as out:
        running = subprocess.Popen([BIN / command[0], *command[1:]], stdout=out, stderr=out, env=env, cwd=log.parent)
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
                raise


def until_answered(url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(url).is_success:
                return
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer:\n{log.read_text()}")


@dataclass
class Stack:
    """The addresses of the parts, and a hand on Prefect's server."""

    folder: Path
    runware: LocalRunware
    port: int
    prefect_port: int
    env: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def records(self) -> Records:
        return Records(Storage(self.env["ADREEL_STORAGE"]))

    @property
    def worker_log(self) -> str:
        return (self.folder / "worker.log").read_text()

    @property
    def server_log(self) -> str:
        return (self.folder / "serve.log").read_text()

    @contextmanager
    def prefect(self) -> Iterator[None]:
        """Run Prefect's server; a second time it finds its database again."""
        log = self.folder / "prefect.log"
        with process("prefect", "server", "start", "--port", str(self.prefect_port), "--no-ui", log=log, env=self.env):
            until_answered(f"{self.env['PREFECT_API_URL']}/health", log)
            yield

    def run(self, *command: str) -> None:
        done = subprocess.run(
            [BIN / command[0], *command[1:]], env=self.env, cwd=self.folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Deploy, and run a worker, what brings its runs back, and `adreel serve`."""
        shutil.copy(ROOT / "prefect.yaml", self.folder)
        self.run("prefect", "work-pool", "create", "adreel", "--type", "process")
        self.run("prefect", "--no-prompt", "deploy", "--all")
        worker = process("prefect", "worker", "start", "--pool", "adreel", log=self.folder / "worker.log", env=self.env)
        log = self.folder / "serve.log"
        patience = ["--silence", "45", "--start", "30"]
        recovery = process("adreel", "recover", *patience, log=self.folder / "recovery.log", env=self.env)
        with worker, recovery, process("adreel", "serve", "--port", str(self.port), log=log, env=self.env):
            until_answered(f"http://127.0.0.1:{self.port}/readyz", log)
            yield


@contextmanager
def made_stack(folder: Path) -> Iterator[Stack]:
    """Make a system in an empty folder; its Prefect server and its workers are not started yet."""
    with in_thread(render_seconds=1.0) as runware:
        stack = Stack(folder, runware, port=free_port(8000), prefect_port=free_port())
        unset = ("PREFECT_", "ADREEL_", "RUNWARE_")
        stack.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(unset)},
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{stack.prefect_port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # Leases in the server's memory would be gone with it, and their slots taken for ever.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
            "RUNWARE_URL": runware.url,
            "RUNWARE_API_KEY": "",
            "ADREEL_STORAGE": str(folder / "outputs"),
            "ADREEL_MODEL": "bytedance:2@2",
            "ADREEL_SIZE": "128x72",
        }
        yield stack
