"""The back-up of docs/operations.md: the storage alone brings everything home, though Prefect has forgotten it all."""

import shutil
import subprocess
from pathlib import Path

import pytest

from adreel.emulator import in_thread
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.verification import verify
from adreel.storage import Storage
from tests.factories import make_session
from tests.test_cli import ADREEL, adreel
from tests.workers import prefect_server, until

pytestmark = pytest.mark.slow


def test_a_storage_that_was_copied_away_is_enough_to_bring_everything_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, copy = tmp_path / "outputs", tmp_path / "copy"
    for name, value in {"RUNWARE_API_KEY": "", "ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "128x72"}.items():
        monkeypatch.setenv(name, value)
    records = Records(Storage(str(outputs)))
    for session_id in ("whole", "cut"):
        (tmp_path / f"{session_id}.json").write_text(make_session(session_id=session_id, seconds=1).model_dump_json())

    with in_thread(render_seconds=2) as runware:
        monkeypatch.setenv("RUNWARE_URL", runware.url)
        with prefect_server(tmp_path / "prefect") as url:
            monkeypatch.setenv("PREFECT_API_URL", url)
            ran = adreel("generate", tmp_path / "whole.json")
            assert ran.returncode == 0, ran.stderr
            cut = subprocess.Popen([ADREEL, "generate", tmp_path / "cut.json"], stdout=subprocess.DEVNULL)
            until(lambda: len(runware.ledger.entries) > 4, "the first task of the second ad")
            cut.kill()
            cut.wait()
            shutil.copytree(outputs, copy)
        shutil.rmtree(outputs)
        shutil.rmtree(tmp_path / "prefect")

        shutil.copytree(copy, outputs)
        with prefect_server(tmp_path / "fresh") as url:
            ran = adreel("deploy", PREFECT_API_URL=url)
            assert ran.returncode == 0, ran.stderr
            ran = adreel("resume", "--all", PREFECT_API_URL=url)
            assert ran.returncode == 0, ran.stderr
        bought = runware.ledger.entries

    assert len(bought) == 2 * len(Scenario)
    for session_id in ("whole", "cut"):
        takes = [take for scenario in Scenario for take in records.takes(session_id, scenario)]
        assert [take.scenario for take in takes if take.is_stored] == list(Scenario)
        for take in takes:
            assert take.clip
            assert (outputs / take.clip.file).stat().st_size == take.clip.size
    assert verify(records) == []
