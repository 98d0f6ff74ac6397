"""The first process of a container: signals go on to the command, and what the command leaves behind has its time."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers import until

FIRST = [sys.executable, "-P", "-m", "adreel.deployments.init_process"]
# Leaves a process in a session of its own, as a run leaves its crash reporter. It writes a file after the end.
LAST = "import sys, time; sys.stdin.read(); time.sleep(1); open('word', 'w')"
LEAVES = f"""
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
left = subprocess.Popen([sys.executable, "-c", {LAST!r}], stdin=subprocess.PIPE, start_new_session=True)
open("ready", "w").close()
signal.pause()
"""


def test_what_a_command_leaves_behind_ends_before_the_container_does() -> None:
    with subprocess.Popen([*FIRST, sys.executable, "-c", LEAVES]) as first:
        until(Path("ready").exists, "the command")
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 3
        assert Path("word").exists()


@pytest.mark.parametrize(
    ("command", "code"),
    [(["true"], 0), (["false"], 1), (["sh", "-c", "kill -9 $$"], 137), (["no-such-command"], 127)],
)
def test_the_container_ends_as_its_command_did(command: list[str], code: int) -> None:
    assert subprocess.run([*FIRST, *command], check=False).returncode == code
