"""An ad by the command line on each kind of storage, and a session that moves from one storage to another."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from typer.testing import CliRunner

from adreel.cli.app import app
from adreel.emulator import LocalRunware
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.records.verification import verify
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import session_data
from tests.storage.servers import KEY, S3Server
from tests.studio import studio
from tests.test_cli import ADREEL, adreel, answer


def contents(storage: Storage) -> dict[str, bytes]:
    paths = [path.removeprefix(storage.root).lstrip("/") for path in storage.fs.find(storage.root)]
    # The feed of changes is written in the background.
    return {path: storage.read(path) for path in paths if not path.startswith("changes/")}


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a bucket that the settings name, by the variables that all AWS tools read."""
    url = s3.bucket()
    monkeypatch.setenv("ADREEL_STORAGE", f"{url}/ads")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY["secret"])
    return url


@pytest.fixture(params=["local disk", "memory", "S3"])
def any_storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Point the settings at an empty storage of each kind in turn."""
    if request.param == "S3":
        request.getfixturevalue("bucket")
    else:
        urls = {"local disk": str(tmp_path / "ads"), "memory": f"memory://{uuid4().hex}"}
        monkeypatch.setenv("ADREEL_STORAGE", urls[request.param])
    return Storage.from_settings(Settings())


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_the_whole_way_of_an_ad_is_the_same_on_every_storage(
    runware: LocalRunware, any_storage: Storage, tmp_path: Path
) -> None:
    def run(*words: str) -> str:
        # In this process: what is in memory ends with it.
        ran = CliRunner().invoke(app, words, catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        return ran.output

    file = tmp_path / "ad.yaml"
    file.write_text(yaml.safe_dump(session_data(seconds=1)))
    run("generate", str(file))
    before = contents(any_storage)
    run("regenerate", "ad", "hook", "--seed", "7")
    after = contents(any_storage)
    assert {path: after[path] for path in before} == before
    start_job(Records(any_storage), Settings(), "of-a-run-that-died", "ad", scenarios=[Scenario.CTA])
    assert "cta" in run("resume", "ad")
    assert "nothing to resume" in run("resume", "--all")
    assert json.loads(run("verify", "--json")) == []
    run("fetch", "ad", "--to", str(tmp_path / "home"))
    assert len(list((tmp_path / "home").iterdir())) == 4
    assert sorted(str(entry.scenario) for entry in runware.ledger.entries) == sorted(
        [*Scenario, Scenario.HOOK, Scenario.CTA]
    )


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
def test_an_ad_is_generated_killed_resumed_regenerated_and_verified_on_s3(
    runware: LocalRunware, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    from tests.slots import free_slots

    file = tmp_path / "ad.yaml"
    file.write_text(yaml.safe_dump(session_data(seconds=1)))
    with subprocess.Popen([ADREEL, "generate", file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "rendering" in line:
                process.kill()
                break
    free_slots()
    ran = adreel("resume", "ad")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(runware.ledger.entries) == 4

    storage = Storage(f"{bucket}/ads", s3.options)
    before = contents(storage)
    ran = adreel("regenerate", "ad", "hook", "--seed", "7")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    after = contents(storage)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 4  # the clip, its poster, its take, its job
    assert [take["request"]["seed"] for take in answer("takes", "ad", "hook")][1] == 7
    assert [scene["status"] for scene in answer("status", "ad")["scene_videos"]] == ["completed"] * 4
    assert answer("verify") == []
    assert "nothing to resume" in adreel("resume", "--all").stdout
    assert len(runware.ledger.entries) == 5
    assert not Path("outputs").exists()


@pytest.mark.slow
async def test_a_finished_session_may_move_to_another_storage(s3: S3Server, tmp_path: Path) -> None:
    async with studio(render_seconds=0, ADREEL_STORAGE=str(tmp_path / "here")) as it:
        first = await it.produce()
        there = Storage(f"{s3.bucket()}/moved", s3.options)
        for path, content in contents(it.records.storage).items():
            there.write(path, content)
        shutil.rmtree(tmp_path / "here")

        it.records = Records(there)
        assert it.records.takes("ad", Scenario.HOOK) == [first]
        assert verify(it.records) == []
        assert await it.produce() == first, "what has moved is not bought anew"
        second = await it.produce(job=it.start_another(Scenario.HOOK))
        assert second.attempts[-1].state == AttemptState.STORED
        assert verify(it.records) == []
        assert len(it.bought) == 2
    options: Any = {**s3.environment, "ADREEL_STORAGE": there.url}
    assert [take["job_id"] for take in answer("takes", "ad", "hook", **options)] == [first.job_id, second.job_id]
    ran = adreel("fetch", "ad", "--to", tmp_path / "home", "--json", **options)
    assert ran.returncode == 1, "three scenes have no clip"
    fetched = json.loads(ran.stdout)[0]
    assert Path(fetched["file"]).read_bytes() == there.read(str(second.clip and second.clip.file))
    [hook] = answer("status", second.job_id, **options)["scenes"]
    assert (hook["status"], hook["location"]) == ("completed", there.location(str(second.clip and second.clip.file)))
