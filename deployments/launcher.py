"""Command of a flow run: asks the fork server for the run's process, and represents it towards Prefect's worker.

Signals are forwarded to the run. The launcher exits with the run's exit code, and a killed launcher kills its run. Only
the standard library is imported, so that it starts in 10 ms. Without a fork server, the run starts as a new process.
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
    run = socket.socket(socket.AF_UNIX)
    try:
        run.connect(os.environ[SOCKET])
    except (KeyError, OSError):
        os.execv(sys.executable, [sys.executable, "-P", "-m", "prefect.engine"])  # noqa: S606 - no shell is wanted

    request = json.dumps({"environment": dict(os.environ), "folder": os.getcwd()}).encode()  # noqa: PTH109
    socket.send_fds(run, [len(request).to_bytes(LENGTH_BYTES)], [0, 1, 2])
    run.sendall(request)

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            run.send(bytes([number]))

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    # The exit code is one byte. A run that was killed sends none.
    code = run.recv(1)
    while run.recv(1):
        pass
    if not code:
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(code[0])


if __name__ == "__main__":
    main()
