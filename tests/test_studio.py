"""`adreel up` as a person types it: every process that it starts is killed in turn while an ad is made."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from adreel.client import Client
from adreel.deployments.studio import Studio, StudioOptions
from adreel.emulator.ledger import Ledger
from adreel.errors import InputError
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.verification import verify
from adreel.records.views import job_status
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import make_session
from tests.test_cli import ADREEL
from tests.workers import until

pytestmark = pytest.mark.timeout(600)

PATIENCE = 240.0
# What is killed, by a part of its command line; the run of the ad comes first, then all that stands below it.
PROCESSES = [
    "launcher.py",
    "adreel.deployments.fork_server",
    "adreel worker",
    "server start",
    "local-runware",
    "bin/postgres",
    "serve",
    "recover",
]


class Up:
    """A studio that is running, with what it has said."""

    def __init__(self, folder: Path, output: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder, self.process, self._output = folder, process, output

    @property
    def said(self) -> str:
        return self._output.read_text()

    def address(self, name: str) -> str:
        found = re.search(rf"{name} +(\S+)", self.said)
        assert found, self.said
        return found[1]

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while words not in self.said:
            assert self.process.poll() is None, self.said + self.logs()
            assert time.monotonic() < deadline, self.said + self.logs()
            time.sleep(0.2)

    def logs(self) -> str:
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"{log}:\n{log.read_text()[-3000:]}" for log in logs)

    def processes(self) -> dict[int, str]:
        """Return the command lines of all that belongs to the studio, by process."""
        mark, found = f"ADREEL_STUDIO={self.folder}".encode(), {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def kill(self, part: str) -> bool:
        """Kill what has such a command line; False if nothing has."""
        struck = [pid for pid, command in self.processes().items() if part in command]
        for pid in struck:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(struck)


@contextmanager
def up(
    folder: Path, *options: str, ends_well: bool = True, before: Sequence[str] = (), program: Path = ADREEL
) -> Iterator[Up]:
    """Run a studio, optionally under another command; later options override earlier ones."""
    output = folder.with_suffix(".txt")
    output.unlink(missing_ok=True)
    with output.open("wb") as stream:
        command: list[str | Path] = [
            *before,
            program,
            "up",
            "--folder",
            folder,
            "--port",
            "0",
            "--prefect-port",
            "0",
            *options,
        ]
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env={**os.environ, "RUNWARE_API_KEY": ""})
    studio = Up(folder, output, process)
    try:
        studio.wait_for("Up after")
        yield studio
        if not ends_well:
            return
        process.send_signal(signal.SIGINT)
        process.wait(120)
        assert process.returncode == 130, studio.said
        until(lambda: not studio.processes(), "the end of all processes", 20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pid in studio.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
    monkeypatch.setenv("ADREEL_SIZE", "128x72")
    monkeypatch.setenv("ADREEL_LOCAL_RENDER_SECONDS", "20")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@pytest.mark.slow
def test_an_ad_comes_home_though_each_process_is_killed_in_turn(tmp_path: Path) -> None:
    folder = tmp_path / "studio"
    records = Records(Storage(str(tmp_path / "outputs")))
    records.save_session(make_session(seconds=1))
    with up(folder) as studio, Client(studio.address("Storyboard")) as client:
        job_id = client.generate("ad").job_id
        for status in client.watch(job_id):
            if all(scene.progress >= 30 for scene in status.scenes):
                break
        for part in PROCESSES:
            assert studio.kill(part), f"nothing runs as {part}"
            time.sleep(1)
        for name in ("worker", "Prefect", "local Runware", "pages", "recovery"):
            studio.wait_for(f"{name} was killed by SIGKILL")
        studio.wait_for("PostgreSQL ended")
        assert until_ended(records, job_id, studio) == State.COMPLETED

    ledger = Ledger.read(folder / "runware.jsonl")
    assert sorted(str(entry.scenario) for entry in ledger.entries) == sorted(Scenario)
    assert verify(records) == []


def test_a_taken_port_and_a_storage_in_memory_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is taken: choose another with --port"):
            Studio(Settings.load(), StudioOptions(tmp_path, port, 0), tmp_path)
    monkeypatch.setenv("ADREEL_STORAGE", "memory://ads")
    with pytest.raises(InputError, match="each process of a studio would have its own"):
        Studio(Settings.load(), StudioOptions(tmp_path, 0, 0), tmp_path)


def until_ended(records: Records, job_id: str, studio: Up) -> State:
    deadline = time.monotonic() + PATIENCE
    while (state := job_status(records, job_id).overall_status) != State.COMPLETED:
        assert time.monotonic() < deadline, f"{state}\n{studio.said}\n{studio.logs()}"
        time.sleep(0.5)
    return state
