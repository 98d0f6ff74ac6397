"""A run's last will: what a small process beside it does if the run is killed.

`prefect worker` answers a SIGTERM by killing its runs on the spot. A killed run can't free its slots, which then are
taken until their lease ends, and stays `Running` until somebody misses its heartbeats. The process beside it reads a
pipe that nothing but the run's end closes; it frees the slots that the run still held and tells Prefect that it has
crashed. If it is killed too, the end of the lease and `adreel recover` do the same, a minute later.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

MODULE = "tasks.last_will"
CLOSING_SECONDS = 10.0


class LastWill:
    """The run's end of the pipe."""

    def __init__(self, run_id: str, run_count: int, environment: dict[str, str]) -> None:
        self._held: set[UUID] = set()
        self._ended = False
        # Its own session, so that no signal to the run's group reaches it; no stdout, whose end the worker waits for.
        self._executor = subprocess.Popen(  # noqa: S603 - this module itself
            [sys.executable, "-m", MODULE, run_id, str(run_count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
            bufsize=0,
        )
        assert self._executor.stdin is not None  # noqa: S101 - for the type checker: it was asked for
        self._pipe = self._executor.stdin

    def holds(self, lease: UUID) -> None:
        """Say that the run holds a slot by this lease."""
        self._held.add(lease)
        self._say(f"holds {lease}")

    def freed(self, lease: UUID) -> None:
        """Say that the run has freed it."""
        self._held.discard(lease)
        self._say(f"freed {lease}")
        self._close_if_done()

    def end(self) -> None:
        """Say that Prefect will hear of the run's end from the run itself."""
        self._ended = True
        self._say("ended")
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._ended and not self._held:
            with suppress(OSError, subprocess.TimeoutExpired):
                self._pipe.close()
                self._executor.wait(CLOSING_SECONDS)

    def _say(self, line: str) -> None:
        # Without its executor a run is no worse off than before.
        with suppress(OSError, ValueError):
            self._pipe.write(f"{line}\n".encode())


_wills: dict[str, LastWill] = {}


@contextmanager
def last_will(run_id: str, run_count: int) -> Iterator[None]:
    """Keep a last will for a flow run of this process; on the embedded server, which dies with it, there is none."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - the process beside the run is small

    settings = get_current_settings()
    if settings.api.url is None:
        yield
        return
    environment = {**os.environ, **settings.to_environment_variables(exclude_unset=True)}
    will = _wills[run_id] = LastWill(run_id, run_count, environment)
    # A run that is being ended by a signal may yet be killed before it has told Prefect: then its will stays in force.
    yield
    will.end()
    del _wills[run_id]


@contextmanager
def bequeathed(run_id: str | None, lease: UUID | None) -> Iterator[None]:
    """Have a lease's slots freed even if the run is killed meanwhile."""
    will = _wills.get(run_id or "")
    if will is None or lease is None:
        yield
        return
    will.holds(lease)
    try:
        yield
    finally:
        will.freed(lease)


def main(run_id: str, run_count: int) -> None:
    """Wait for the run's end, and do what it can no longer do."""
    # Whoever stops everything at once, such as systemd, means the run; this process ends with it.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    ended, held = False, set()
    for line in sys.stdin:
        match line.split():
            case ["holds", lease]:
                held.add(UUID(lease))
            case ["freed", lease]:
                held.discard(UUID(lease))
            case ["ended"]:
                ended = True
    if held or not ended:
        _carry_out(UUID(run_id), run_count, held, ended=ended)


def _carry_out(run_id: UUID, run_count: int, held: set[UUID], *, ended: bool) -> None:
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - seconds and megabytes, rarely needed
    from prefect.states import Crashed  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        for lease in held:
            client.release_concurrency_slots_with_lease(lease)
        run = client.read_flow_run(run_id)
        # Whatever else has happened to it meanwhile, a cancel or a new start, is somebody else's word.
        if not ended and run.state is not None and run.state.is_running() and run.run_count == run_count:
            client.set_flow_run_state(run_id, Crashed(message="The process of this run was killed."))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
