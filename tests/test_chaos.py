"""The kill rig, ten rounds of it: a real Prefect server, workers and the emulator, and SIGKILL to each in turn."""

import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_ten_kills_break_no_promise() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.rigs.chaos", "--rounds", str(ROUNDS)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
