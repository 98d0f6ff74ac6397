"""A run's last will: what a small process beside it does if the run is killed.

`prefect worker` answers a SIGTERM by killing its runs on the spot, and a killed run stays `Running` until somebody
misses its heartbeats. The process beside it reads a pipe that nothing but the run's end closes, and tells Prefect that
the run has crashed. If it is killed too, `adreel recover` does the same, some minutes later. Slots are none of its
business: what Runware renders for a killed run is in flight all the same.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

MODULE = "adreel.tasks.crash_reporter"
CLOSING_SECONDS = 10.0
ENDED = "ended"


class LastWill:
    """The run's end of the pipe."""

    def __init__(self, run_id: str, run_count: int, environment: dict[str, str]) -> None:
        # Its own session, so that no signal to the run's group reaches it; no stdout, whose end the worker waits for.
        self._executor = subprocess.Popen(  # noqa: S603 - this module itself
            # -P: a `tasks` module in the current folder belongs to the user.
            [sys.executable, "-P", "-m", MODULE, run_id, str(run_count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
            bufsize=0,
        )
        assert self._executor.stdin is not None  # noqa: S101 - for the type checker: it was asked for
        self._pipe = self._executor.stdin

    def end(self) -> None:
        """Say that Prefect will hear of the run's end from the run itself."""
        # Without its executor a run is no worse off than before.
        with suppress(OSError, ValueError, subprocess.TimeoutExpired):
            self._pipe.write(ENDED.encode())
            self._pipe.close()
            self._executor.wait(CLOSING_SECONDS)


@contextmanager
def last_will(run_id: str, run_count: int) -> Iterator[None]:
    """Keep a last will for a flow run of this process; on the embedded server, which dies with it, there is none."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - the process beside the run is small

    settings = get_current_settings()
    if settings.api.url is None:
        yield
        return
    environment = {**os.environ, **settings.api.to_environment_variables(exclude_unset=True)}
    will = LastWill(run_id, run_count, environment)
    # A run that is being ended by a signal may yet be killed before it has told Prefect: then its will stays in force.
    yield
    will.end()


def main(run_id: str, run_count: int) -> None:
    """Wait for the run's end, and do what it can no longer do."""
    # Whoever stops everything at once, such as systemd, means the run; this process ends with it.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    if sys.stdin.read() != ENDED:
        _carry_out(UUID(run_id), run_count)


def _carry_out(run_id: UUID, run_count: int) -> None:
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - seconds and megabytes, rarely needed
    from prefect.states import Crashed  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        # A run that was cancelled or restarted meanwhile keeps its state.
        if run.state is not None and run.state.is_running() and run.run_count == run_count:
            client.set_flow_run_state(run_id, Crashed(message="The process of this run was killed."))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
