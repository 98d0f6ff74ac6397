"""Runners of jobs: the flow run that works on a job, and the process of the run."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel

_active: set[str] = set()
"""Ids of the runs that work on jobs in this process."""


class Runner(BaseModel, extra="allow"):
    """A flow run, with the machine and process that execute it."""

    run_id: str
    host: str = ""
    pid: int = 0
    started: int | None = None

    @classmethod
    def here(cls, run_id: str) -> Self:
        """Return the runner for a run in this process."""
        return cls(run_id=run_id, host=_host(), pid=os.getpid(), started=_started(os.getpid()))

    @property
    def is_alive(self) -> bool | None:
        """Whether its process still works on the run; None for another machine."""
        if self.host != _host() or self.started is None:
            return None
        if self.pid == os.getpid():
            return self.run_id in _active
        return _started(self.pid) == self.started


@contextmanager
def registered_run(run_id: str) -> Iterator[Runner]:
    """Register a run that works on jobs in this process."""
    _active.add(run_id)
    try:
        yield Runner.here(run_id)
    finally:
        _active.discard(run_id)


@cache
def _host() -> str:
    # Process ids restart with each boot, and each container has its own hostname.
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    return f"{socket.gethostname()}/{boot}"


def _started(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None without a live process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    is_zombie = fields[0] == "Z"
    return None if is_zombie else int(fields[19])
