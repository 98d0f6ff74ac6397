"""Who works on a job now: its flow run, and the process that carries the run out."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

_active: set[str] = set()
"""The runs that work on jobs in this process."""


class Runner(BaseModel):
    """A run at work, and where."""

    model_config = ConfigDict(extra="allow")

    run_id: str
    host: str = ""
    pid: int = 0
    started: int | None = None

    @classmethod
    def here(cls, run_id: str) -> Self:
        """Describe a run of this process."""
        return cls(run_id=run_id, host=_host(), pid=os.getpid(), started=_started(os.getpid()))

    @property
    def is_alive(self) -> bool | None:
        """Whether its process still works on the run; None if that is on another machine."""
        if self.host != _host() or self.started is None:
            return None
        if self.pid == os.getpid():
            return self.run_id in _active
        return _started(self.pid) == self.started


@contextmanager
def at_work(run_id: str) -> Iterator[Runner]:
    """Count a run as one that works on jobs in this process."""
    _active.add(run_id)
    try:
        yield Runner.here(run_id)
    finally:
        _active.discard(run_id)


@cache
def _host() -> str:
    # Process numbers begin anew with each boot, and containers have names of their own.
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    return f"{socket.gethostname()}/{boot}"


def _started(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since the boot; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    is_zombie = fields[0] == "Z"
    return None if is_zombie else int(fields[19])
