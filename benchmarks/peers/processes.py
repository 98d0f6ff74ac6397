"""A program and all of its child processes: its events, its resources and its end.

Each program has its own process session, which identifies its descendants even after their parents have ended.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psutil  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
SAMPLE_SECONDS = 0.25
END_SECONDS = 15.0
MB = 1024**2


class Program:
    """A running program. Memory is the sum over its processes. Shared pages count for each of them."""

    def __init__(self, command: list[str], settings: Mapping[str, str], log: Path) -> None:
        self.log, self.started_at = log, time.time()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                env=environment(settings),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self.peak_mb = 0.0
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._ended = threading.Event()
        self._watches = [threading.Thread(target=watch, daemon=True) for watch in (self._read, self._sample)]
        for watch in self._watches:
            watch.start()

    @property
    def code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def line(self, until: float) -> str | None:
        """Return the next line that it prints before a deadline, or None if it ends first."""
        while time.time() < until:
            ended = self.code is not None
            with suppress(Empty):
                return self._lines.get(timeout=0.1)
            if ended:
                return None
        return None

    def event(self, name: str, until: float) -> dict[str, Any] | None:
        """Wait for an event until a deadline. Returns None if the program ends first."""
        while line := self.line(until):
            with suppress(ValueError, TypeError):
                said = json.loads(line)
                if said["event"] == name:
                    return dict(said)
        return None

    def cpu(self) -> float:
        """Return its CPU time in seconds, including that of ended children."""
        return sum(sum(times[:4]) for pid in self._pids() if (times := _times(pid)))

    def wait(self, limit: float) -> int | None:
        """Wait for its end. Returns the exit code, or None if it still runs."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, limit))
        return self.code

    def kill(self) -> None:
        """Kill all of its processes."""
        while pids := self._pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.02)
        self._process.wait()
        self._ended.set()
        for watch in self._watches:
            watch.join(END_SECONDS)

    def end(self) -> None:
        """Terminate it, then kill the remaining processes."""
        if self.code is None:
            self._process.terminate()
            self.wait(END_SECONDS)
        self.kill()

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else ""

    def _read(self) -> None:
        assert self._process.stdout  # noqa: S101 - it is a pipe
        with self._process.stdout as said:
            for line in said:
                self._lines.put(line.decode(errors="replace"))

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.peak_mb = max(self.peak_mb, sum(_memory(pid) for pid in self._pids()) / MB)

    def _pids(self) -> list[int]:
        pids = {pid for pid in psutil.pids() if _session(pid) == self._process.pid}
        with suppress(psutil.Error):
            # A child may have a session of its own, as the probe of clips has.
            pids |= {child.pid for child in psutil.Process(self._process.pid).children(recursive=True)}
        return [pid for pid in pids if _lives(pid)]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without settings of adreel, Prefect and Runware, except the given ones."""
    ours = ("ADREEL_", "DAGSTER_", "DBOS_", "PEERS_", "PREFECT_", "RUNWARE_", "TEMPORAL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "DO_NOT_TRACK": "1", **settings}


@contextmanager
def running(command: list[str], settings: Mapping[str, str], log: Path) -> Iterator[Program]:
    """Run a program while the context lasts."""
    program = Program(command, settings, log)
    try:
        yield program
    finally:
        program.end()


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _lives(pid: int) -> bool:
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _times(pid: int) -> tuple[float, ...]:
    with suppress(psutil.Error):
        return tuple(psutil.Process(pid).cpu_times())
    return ()


def _memory(pid: int) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0
