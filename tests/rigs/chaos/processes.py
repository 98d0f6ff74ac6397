"""The processes of a rig. A mark in their environment identifies them, whatever their parent is."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "ADREEL_CHAOS_RIG"
PROC = Path("/proc")
END_SECONDS = 10.0
ENGINE = "-m prefect.engine"  # what else a run starts inherits its environment


@dataclass(frozen=True)
class Process:
    """A living process. `flow_run` is the run that it was started for, if any."""

    pid: int
    parent: int
    command: str
    flow_run: str | None


def marked(mark: str) -> list[Process]:
    """List the living processes of a rig."""
    wanted = f"{MARK}={mark}"
    found = (_read(int(entry.name), wanted) for entry in PROC.iterdir() if entry.name.isdigit())
    return [process for process in found if process]


def runs(mark: str) -> list[Process]:
    """List the processes that execute a flow run."""
    return [process for process in marked(mark) if process.flow_run and ENGINE in process.command]


def kill(pid: int) -> None:
    """Kill a process if it still lives."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def end_all(mark: str) -> None:
    """Kill all processes of a rig, including those that they start meanwhile."""
    deadline = time.monotonic() + END_SECONDS
    while (left := marked(mark)) and time.monotonic() < deadline:
        for process in left:
            kill(process.pid)
        time.sleep(0.05)
    if left:
        raise TimeoutError(f"these processes of the rig can't be ended: {[process.pid for process in left]}")


def _read(pid: int, wanted: str) -> Process | None:
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0")
        if wanted not in variables:
            return None
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        parent = int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
    return Process(pid, parent, command, next(_values(variables, "PREFECT__FLOW_RUN_ID"), None))


def _values(variables: list[str], name: str) -> Iterator[str]:
    return (variable.removeprefix(f"{name}=") for variable in variables if variable.startswith(f"{name}="))
