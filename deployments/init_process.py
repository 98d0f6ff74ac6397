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

HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
LEFT_SECONDS = 15
"""For what outlives the command: a last will asks Prefect twice."""
ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>: what the first process of a container does anyway


def main(command: list[str]) -> int:
    """Run a command and return its exit code, 128 and its signal if it was killed."""
    ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1)
    try:
        started = os.posix_spawnp(command[0], command, os.environ)
    except FileNotFoundError:
        print(f"{command[0]}: no such command", file=sys.stderr)  # noqa: T201 - a command
        return 127

    def hand_on(number: int, _frame: FrameType | None) -> None:
        os.kill(started, number)

    for number in HANDED_ON:
        signal.signal(number, hand_on)
    while True:
        ended, status = os.wait()
        if ended == started:
            break
    for number in HANDED_ON:
        signal.signal(number, signal.SIG_IGN)
    _await_the_rest()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _await_the_rest() -> None:
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(LEFT_SECONDS)
    try:
        while True:
            os.wait()
    except (ChildProcessError, TimeoutError):
        signal.alarm(0)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
