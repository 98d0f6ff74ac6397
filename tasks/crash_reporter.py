"""Sidecar process that reports a flow run as Crashed when the run's process is killed.

`prefect worker` answers a SIGTERM by killing its runs at once, and a killed run stays `Running` until its heartbeats
are missed. The sidecar reads a pipe that closes only when the run's process ends. If the sidecar is killed too,
`adreel recover` reports the crash some minutes later. The sidecar frees no slots: Runware still renders the clips of a
killed run.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

MODULE = "adreel.tasks.crash_reporter"
EXIT_TIMEOUT = 10.0
ENDED = b"ended"


@contextmanager
def crash_reporter(run_id: str, run_count: int) -> Iterator[None]:
    """Start the sidecar of a flow run of this process; none on the embedded server, which ends with the process."""
    from prefect.settings import get_current_settings  # noqa: PLC0415

    from adreel.orchestration.embedded_server import is_embedded  # noqa: PLC0415 - the sidecar must stay small

    settings = get_current_settings()
    if settings.api.url is None or is_embedded():
        yield
        return
    # Its own session, so that no signal to the run's group reaches it. The worker waits for the end of stdout.
    sidecar = subprocess.Popen(  # noqa: S603 - this module itself
        # -P: a `tasks` module in the current folder belongs to the user.
        [sys.executable, "-P", "-m", MODULE, run_id, str(run_count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, **settings.api.to_environment_variables(exclude_unset=True)},
    )
    # Not in a `finally`: a run that is ended by a signal may still be killed before it has reported its state.
    yield
    # If the sidecar has died, the run is no worse off than without it.
    with suppress(OSError, ValueError, subprocess.TimeoutExpired):
        sidecar.communicate(ENDED, EXIT_TIMEOUT)


def main(run_id: str, run_count: int) -> None:
    """Wait for the end of the run's process, and report a crash unless the run has ended in order."""
    # A signal to all processes, for example from systemd, is meant for the run. This process ends with it.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    if sys.stdin.buffer.read() == ENDED:
        return
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - seconds and megabytes, rarely needed
    from prefect.states import Crashed  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(run_id))
        # A run that was cancelled or restarted meanwhile keeps its state.
        if run.state is not None and run.state.is_running() and run.run_count == run_count:
            client.set_flow_run_state(run.id, Crashed(message="The process of this run was killed."))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
