"""First process of a container: starts a command, forwards signals, and exits when all orphaned processes have exited.

A container ends with its first process. If that were a worker, the crash reporters of its runs
(tasks/crash_reporter.py) would end with it, and the slots of the runs would stay taken until their leases expire.
Usage: `python -m adreel.deployments.init_process COMMAND...`
"""

import ctypes
import os
import signal
import sys
from types import FrameType

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
ORPHAN_SECONDS = 15
"""Time for the orphaned processes to exit. A crash reporter sends two requests to Prefect."""
PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>: orphans become children of this process, as of any container's first


def main(command: list[str]) -> int:
    """Run a command and return its exit code, or 128 plus the number of the signal that killed it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        started = os.posix_spawnp(command[0], command, os.environ)
    except FileNotFoundError:
        print(f"{command[0]}: no such command", file=sys.stderr)  # noqa: T201 - a command
        return 127

    def forward(number: int, _frame: FrameType | None) -> None:
        os.kill(started, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    while True:
        ended, status = os.wait()
        if ended == started:
            break
    for number in FORWARDED:
        signal.signal(number, signal.SIG_IGN)

    def stop_waiting(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop_waiting)
    signal.alarm(ORPHAN_SECONDS)
    try:
        while True:
            os.wait()
    except (ChildProcessError, TimeoutError):
        signal.alarm(0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
