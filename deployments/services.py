"""Supervised processes: started in order, restarted when they end, with rotated logs."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from adreel.errors import AdreelError

START_SECONDS = 120.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.2
# Restarts are delayed by an exponential backoff, which starts again after CALM_SECONDS without an end.
FIRST_DELAY, MAX_DELAY, CALM_SECONDS = 0.5, 30.0, 60.0

LOG_BYTES, OLD_LOGS = 10_000_000, 2
LOG_LINES = 15

Log = Callable[[str], None]
Command = Sequence[str | Path]


@dataclass
class Service:
    """One supervised process; `is_ready` tells whether the next service can be started."""

    name: str
    command: Command
    log: Path
    environment: dict[str, str]
    is_ready: Callable[[], bool] = lambda: True
    umask: int = -1
    """-1 keeps the supervisor's."""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _started_at: float = 0.0
    _delay: float = FIRST_DELAY
    _restart_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None if it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process in a session of its own, so that a Ctrl-C reaches only the supervisor."""
        self._started_at, self._restart_at = time.monotonic(), None
        rotate(self.log)
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the project's own commands
                [str(word) for word in self.command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=self.umask,
            )

    def wait_until_ready(self) -> None:
        """Wait until the service is ready. Raises AdreelError with the end of its log if it ends or times out."""
        deadline = time.monotonic() + START_SECONDS
        while self.pid is not None and time.monotonic() < deadline:
            if self.is_ready():
                return
            time.sleep(POLL_SECONDS)
        why = "ended" if self.pid is None else f"was not ready within {START_SECONDS:g} s"
        end = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])
        raise AdreelError(f"{self.name} {why}; the end of {self.log}:\n{end}")

    def keep(self, log: Log) -> None:
        """Restart the process if it ended, after a delay that grows with each restart."""
        rotate(self.log)
        if self.pid is not None:
            return
        now = time.monotonic()
        if self._restart_at is None:
            lived = now - self._started_at
            self._delay = FIRST_DELAY if lived > CALM_SECONDS else min(2 * self._delay, MAX_DELAY)
            self._restart_at = now + self._delay
            log(f"{self.name} {self.how_it_ended()}: restarted in {self._delay:g} s; its log: {self.log}")
        elif now >= self._restart_at:
            try:
                self.start()
            except OSError as error:  # A full disk or too many processes may be transient.
                self._delay = min(2 * self._delay, MAX_DELAY)
                self._restart_at = now + self._delay
                log(f"{self.name} can't be started: {error}; tried again in {self._delay:g} s")

    def how_it_ended(self) -> str:
        """Describe the end of the process, by its exit code or signal."""
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def stop(self) -> None:
        """Terminate the process, and kill its session if it does not end in time."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def rotate(log: Path) -> None:
    """Copy and truncate a log above LOG_BYTES, so that the process can keep appending to it."""
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return
    if size <= LOG_BYTES:
        return
    with suppress(OSError):  # On a full disk, free space matters more than old lines.
        old = [log.with_name(f"{log.name}.{number}") for number in range(1, OLD_LOGS + 1)]
        for newer, older in reversed(list(pairwise(old))):
            if newer.exists():
                newer.replace(older)
        old[0].touch(mode=0o600)
        with log.open("rb") as stream, old[0].open("wb") as copy:
            stream.seek(max(0, size - LOG_BYTES))
            copy.write(stream.read(LOG_BYTES))
    os.truncate(log, 0)
