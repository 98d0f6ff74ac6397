"""Command of a flow run: asks the fork server for the run's process, and represents it towards Prefect's worker.

Signals are forwarded to the run. The launcher exits with the run's exit code, and a killed launcher kills its run. Only
the standard library is imported, so that it starts in 10 ms. Without a fork server, the run starts as a new process.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

SOCKET = "ADREEL_WARM_SOCKET"
LENGTH_BYTES = 8


def main() -> None:
    """Run a flow run, warm if possible."""
    run = socket.socket(socket.AF_UNIX)
    try:
        run.connect(os.environ[SOCKET])
    except (KeyError, OSError):
        os.execv(sys.executable, [sys.executable, "-P", "-m", "prefect.engine"])  # noqa: S606 - no shell is wanted

    send_request(run, {"environment": dict(os.environ), "folder": os.getcwd()})  # noqa: PTH109
    sys.exit(follow(run, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))


def send_request(server: socket.socket, request: dict[str, Any]) -> None:
    """Ask a fork server for a process with the outputs of this one."""
    content = json.dumps(request).encode()
    socket.send_fds(server, [len(content).to_bytes(LENGTH_BYTES)], [0, 1, 2])
    server.sendall(content)


def follow(server: socket.socket, signals: Iterable[int]) -> int:
    """Forward signals to the process until it ends, and return its exit code."""

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            server.send(bytes([number]))

    for number in signals:
        signal.signal(number, forward)
    # The exit code is one byte. A process that was killed sends none.
    code = server.recv(1)
    while server.recv(1):
        pass
    if not code:
        os.kill(os.getpid(), signal.SIGKILL)
    return code[0]


if __name__ == "__main__":
    main()
