"""The whole way of an ad with its clips and records on S3, by the command line; a session that moves to S3."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from adreel.local_runware import LocalRunware
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.storage import Storage
from adreel.takes import AttemptState
from adreel.verification import verify
from tests.factories import session_data
from tests.storage.servers import KEY, S3Server
from tests.studio import studio
from tests.test_cli import ADREEL, adreel, answer


def contents(storage: Storage) -> dict[str, bytes]:
    paths = [path.removeprefix(storage.root).lstrip("/") for path in storage.fs.find(storage.root)]
    return {path: storage.read(path) for path in paths}


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


@pytest.mark.xdist_group("prefect")
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
    [hook] = answer("status", second.job_id, **options)["scenes"]
    assert (hook["status"], hook["location"]) == ("completed", there.location(str(second.clip and second.clip.file)))
