"""Services of a studio: their logs are bounded, and a failure of one service does not end the others."""

import stat
import sys
import time
from pathlib import Path

import pytest

from adreel.deployments import services
from adreel.deployments.services import OLD_LOGS, Service, rotate
from tests.workers import until

BYTES = 10_000
FLOOD = "import sys\nfor number in range(40_000): print(f'line {number}', flush=True)\nsys.stdin.read()"


@pytest.fixture(autouse=True)
def _small_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "LOG_BYTES", BYTES)


def test_a_flooded_log_keeps_within_its_bounds(tmp_path: Path) -> None:
    service = Service("flood", [sys.executable, "-c", FLOOD], tmp_path / "flood.log", {})
    service.start()
    seen = set()
    while service.pid is not None:
        service.keep(print)
        seen |= {log.name for log in tmp_path.iterdir()}
    rotate(service.log)
    assert seen == {"flood.log", *(f"flood.log.{number}" for number in range(1, OLD_LOGS + 1))}
    for log in tmp_path.iterdir():
        assert log.stat().st_size <= BYTES
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert b"\0" not in service.log.read_bytes()


def test_the_last_lines_of_a_log_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("x" * 5 * BYTES + "\nthe end\n")
    rotate(log)
    assert log.read_text() == ""
    assert (tmp_path / "a.log.1").read_text().endswith("x\nthe end\n")
    rotate(log)
    rotate(tmp_path / "missing.log")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_service_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.symlink_to("/bin/true")
    service = Service("it", [program], tmp_path / "it.log", {})
    said: list[str] = []
    service.start()
    until(lambda: service.pid is None, "its end")
    program.unlink()
    deadline = time.monotonic() + 60
    while not any("can't be started" in line for line in said) and time.monotonic() < deadline:
        service.keep(said.append)
        time.sleep(0.05)
    assert any("it can't be started" in line and "tried again in" in line for line in said)
