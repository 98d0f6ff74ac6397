"""Asks the warm process for a run, and stands for that run in the eyes of its worker.

Prefect's worker starts this as the run's command: what it is told by signals, the run is told; when the run has ended,
this ends alike; and if this is killed, so is the run. Nothing but the standard library is imported, so it starts in a
hundredth of a second. Without a warm process the run starts as it would have without all this.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

SOCKET = "ADREEL_WARM_SOCKET"
LENGTH_BYTES = 8


def main() -> None:
    """Run a flow run, warm if possible."""
    run = _connected()
    if run is None:
        os.execv(sys.executable, [sys.executable, "-P", "-m", "prefect.engine"])  # noqa: S606 - no shell is wanted

    request = json.dumps({"environment": dict(os.environ), "folder": os.getcwd()}).encode()  # noqa: PTH109
    socket.send_fds(run, [len(request).to_bytes(LENGTH_BYTES)], [0, 1, 2])
    run.sendall(request)

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            run.send(bytes([number]))

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    # One byte, the exit code; a run that was killed sends none.
    code = run.recv(1)
    while run.recv(1):
        pass
    if not code:
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(code[0])


def _connected() -> socket.socket | None:
    run = socket.socket(socket.AF_UNIX)
    try:
        run.connect(os.environ[SOCKET])
    except (KeyError, OSError):
        return None
    return run


if __name__ == "__main__":
    main()
