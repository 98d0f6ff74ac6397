"""Processes that are kept running: started in order, started again when they end, ended in the opposite order."""

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
LOOK_SECONDS = 0.2
# A service that ends again and again is started ever more slowly, but never given up.
PAUSE_FIRST, PAUSE_MOST, CALM_SECONDS = 0.5, 30.0, 60.0

LOG_BYTES, OLD_LOGS = 10_000_000, 2

Tell = Callable[[str], None]
Command = Sequence[str | Path]


@dataclass
class Service:
    """One process that is to run; `answers` says whether it is ready for those that are started after it."""

    name: str
    command: Command
    log: Path
    environment: dict[str, str]
    answers: Callable[[], bool] = lambda: True
    umask: int = -1
    """That of its files; -1 leaves it as it is."""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _started_at: float = 0.0
    _pause: float = PAUSE_FIRST
    _again_at: float | None = None

    @property
    def pid(self) -> int | None:
        """Its process, while that lives."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it in a session of its own: a Ctrl-C is for the supervisor, which ends things in order."""
        self._started_at, self._again_at = time.monotonic(), None
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
        """Wait until it answers; AdreelError with the end of its log if it ends or the time is up."""
        deadline = time.monotonic() + START_SECONDS
        while self.pid is not None and time.monotonic() < deadline:
            if self.answers():
                return
            time.sleep(LOOK_SECONDS)
        why = "ended" if self.pid is None else f"did not answer within {START_SECONDS:g} s"
        raise AdreelError(f"{self.name} {why}; the end of {self.log}:\n{last_lines(self.log)}")

    def keep(self, tell: Tell) -> None:
        """Start it again if it ended, after a pause that grows if that goes on."""
        rotate(self.log)
        if self.pid is not None:
            return
        now = time.monotonic()
        if self._again_at is None:
            lived = now - self._started_at
            self._pause = PAUSE_FIRST if lived > CALM_SECONDS else min(2 * self._pause, PAUSE_MOST)
            self._again_at = now + self._pause
            tell(f"{self.name} {self.how_it_ended()}: started again in {self._pause:g} s; its log: {self.log}")
        elif now >= self._again_at:
            try:
                self.start()
            except OSError as error:  # A full disk or too many processes may be transient.
                self._pause = min(2 * self._pause, PAUSE_MOST)
                self._again_at = now + self._pause
                tell(f"{self.name} can't be started: {error}; tried again in {self._pause:g} s")

    def how_it_ended(self) -> str:
        """Say by what it ended."""
        code = self._process.returncode if self._process else None
        if code is not None and code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def stop(self) -> None:
        """End it, by force if it does not end within its time."""
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
    """Rotate a log above LOG_BYTES by copying, so the process that appends to it is not affected."""
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


def last_lines(log: Path, number: int = 15) -> str:
    """Return the end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-number:])
