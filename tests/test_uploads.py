"""With a key, an input image is uploaded once, and the requests of all scenes, jobs and processes name its UUID."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from adreel.emulator import LocalRunware
from adreel.emulator.handler import TaskHandler
from adreel.emulator.replies import Item, Reply, error
from adreel.emulator.requests import Validator
from adreel.errors import BadKey, ProviderUnreachable, SceneRefused
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState
from adreel.purchase.jobs import buy_scene, start_job
from adreel.records.inputs import read_image, upload_path
from adreel.records.verification import verify
from adreel.runware import RunwareClient
from adreel.storage.crash_points import visit_crash_points
from tests.factories import make_session, session_data, write_image
from tests.storage.servers import S3Server
from tests.studio import QUICK, Studio, studio

KEY = "a-key"
HOOK = Scenario.HOOK


@asynccontextmanager
async def keyed_studio(folder: Path, *faults: str) -> AsyncIterator[Studio]:
    """Open a studio with a key, whose session has an image for all scenes."""
    async with studio(*faults, runware_api_key=KEY) as it:
        session = make_session(seconds=1)
        session.first_frame = str(write_image(folder / "lamp.png"))
        it.records.save_session(session)
        yield it


def reference(it: Studio) -> str:
    image = it.take().request.first_frame
    assert image is not None
    return image


def record_of(it: Studio) -> Path:
    return Path(it.records.storage.location(upload_path("ad", reference(it))))


def sent_images(it: Studio) -> list[str]:
    return [entry.request["inputs"]["frameImages"][0]["image"] for entry in it.server.ledger.entries]


def refuse_uploads(monkeypatch: pytest.MonkeyPatch, code: str = "unsupportedOperation") -> list[Item]:
    tried: list[Item] = []

    def refuse(_: TaskHandler, task: Item) -> Reply:
        tried.append(task)
        return error(code, "Not now.", uuid=task["taskUUID"], taskType="mediaStorage")

    monkeypatch.setattr(TaskHandler, "_upload", refuse)
    return tried


async def test_all_scenes_use_one_upload_and_so_do_later_jobs_and_processes(tmp_path: Path) -> None:
    async with keyed_studio(tmp_path) as it:
        job = it.start()
        takes = await asyncio.gather(*(it.produce(scenario, job=job) for scenario in job.scenarios))
        assert all(take.is_stored for take in takes)
        [upload] = it.server.ledger.uploads
        # Another client knows the upload from the storage alone.
        assert (await it.produce(job=it.start_another(HOOK))).is_stored
        assert sent_images(it) == [upload.uuid] * 5
        assert len(it.server.ledger.uploads) == 1
        assert json.loads(record_of(it).read_text())["media_uuid"] == upload.uuid
        assert "a-key" not in record_of(it).read_text()
        assert verify(it.records) == []


async def test_sessions_with_the_same_image_share_an_upload_of_their_process(tmp_path: Path) -> None:
    async with keyed_studio(tmp_path) as it:
        other = it.records.session("ad").model_copy(update={"session_id": "other"})
        it.records.save_session(other)
        jobs = [it.start(HOOK), start_job(it.records, it.settings, "job-2", "other", scenarios=[HOOK])]
        await asyncio.gather(*(buy_scene(it.records, it.settings, job, HOOK) for job in jobs))
        [upload] = it.server.ledger.uploads
        assert sent_images(it) == [upload.uuid] * 2
        assert it.records.storage.exists(upload_path("other", reference(it)))


async def test_without_a_key_nothing_is_uploaded(tmp_path: Path) -> None:
    async with keyed_studio(tmp_path) as it:
        it.settings = it.settings.model_copy(update={"runware_api_key": None})
        await it.produce()
        assert it.server.ledger.uploads == []
        assert sent_images(it)[0].startswith("sha256:")
        assert not record_of(it).exists()


async def test_an_upload_ends_before_the_record_says_that_the_task_is_sent(tmp_path: Path) -> None:
    async with keyed_studio(tmp_path) as it:
        reached: list[str] = []
        with visit_crash_points(reached.append):
            await it.produce()
        steps = ["before the upload", "after the upload", "upload recorded"]
        steps += ["before the record: 10", "after the record: 10", "before the submit"]
        assert [name for name in reached if name in steps] == steps


@pytest.mark.parametrize("content", ["", "{}", None], ids=["empty", "without a UUID", "forgotten"])
async def test_an_upload_that_is_not_known_any_more_is_repeated_once(tmp_path: Path, content: str | None) -> None:
    async with keyed_studio(tmp_path) as it:
        await it.produce()
        record = record_of(it)
        record.write_text(record.read_text().replace(it.server.ledger.uploads[0].uuid, str(uuid4())))
        if content is not None:
            record.write_text(content)
        take = await it.produce(job=it.start_another(HOOK))
        assert take.is_stored
        assert len(take.attempts) == 1
        assert len(it.server.ledger.entries) == len(it.server.ledger.uploads) == 2
        again = it.server.ledger.uploads[-1].uuid
        assert sent_images(it)[-1] == again
        assert json.loads(record.read_text())["media_uuid"] == again
        # One repetition, under the same UUID.
        assert it.server.ledger.submits[str(take.attempts[0].uuid)] == (2 if content is None else 1)


async def test_an_image_that_is_refused_for_itself_is_not_uploaded_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Validator, task: Item) -> Iterator[Reply]:
        yield error("unsupportedImage", "Too few pixels.", uuid=task["taskUUID"], parameter="inputs")

    async with keyed_studio(tmp_path) as it:
        await it.produce()
        monkeypatch.setattr(Validator, "_image_errors", refuse)
        with pytest.raises(SceneRefused, match=r"Too few pixels.*The image is the scene's first_frame 'lamp\.png'"):
            await it.produce(job=it.start_another(HOOK))
        assert len(it.server.ledger.uploads) == 2
        assert len(it.bought) == 1


async def test_a_failure_because_of_an_image_makes_the_next_take_upload_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise SceneRefused("Runware says invalidMedia: The media was not found.")

    async with keyed_studio(tmp_path) as it:
        await it.produce()
        with monkeypatch.context() as patched:
            patched.setattr(RunwareClient, "wait", fail)
            with pytest.raises(SceneRefused, match="was not found"):
                await it.produce(job=it.start_another(HOOK))
        assert not record_of(it).exists()
        job = start_job(it.records, it.settings, "job-3", "ad", scenarios=[HOOK])
        assert (await it.produce(job=job)).is_stored
        assert sent_images(it) == [it.server.ledger.uploads[number].uuid for number in (0, 0, 1)]


@pytest.mark.parametrize("code", ["unsupportedOperation", "providerError", "whoKnows"])
async def test_an_image_that_cannot_be_uploaded_is_sent_with_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    tried = refuse_uploads(monkeypatch, code)
    async with keyed_studio(tmp_path) as it:
        job = it.start()
        for scenario in job.scenarios:
            assert (await it.produce(scenario, job=job)).is_stored
        assert len({image for image in sent_images(it) if image.startswith("sha256:")}) == 1
        assert len(it.bought) == 4
        assert 1 <= len(tried) <= 4
        assert not record_of(it).exists()


async def test_a_key_that_is_refused_at_the_upload_leaves_the_take_unsent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_uploads(monkeypatch, "invalidApiKey")
    async with keyed_studio(tmp_path) as it:
        with pytest.raises(BadKey):
            await it.produce()
        assert it.server.ledger.submits == {}
        assert not [attempt for attempt in it.take().attempts if attempt.state != AttemptState.PLANNED]


# The client


async def test_the_client_uploads_and_tells_what_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = read_image(str(write_image(tmp_path / "lamp.png"))).content
    data = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    async with LocalRunware() as server:
        client = RunwareClient(server.url, KEY, QUICK)
        try:
            uuids = await asyncio.gather(*(client.upload(data) for _ in range(10)))
            assert set(uuids) == {upload.uuid for upload in server.ledger.uploads}
            with pytest.raises(SceneRefused, match="invalidMedia"):
                await client.upload("data:image/png;base64,AAAA")
            monkeypatch.setattr(TaskHandler, "_upload", lambda *_: Reply())
            waiting = asyncio.create_task(client.upload(data))
            await asyncio.sleep(0.3)
            (await client.connect()).interrupt(ProviderUnreachable("it broke"))
            with pytest.raises(ProviderUnreachable, match="it broke"):
                await waiting
            client._timing = replace(QUICK, upload=0.2)
            with pytest.raises(ProviderUnreachable, match=r"did not answer an upload in 0\.2 s"):
                await client.upload(data)
        finally:
            await client.close()


# Machines


BUY = """
import asyncio, os, sys
from pathlib import Path
from adreel.models.scenarios import Scenario
from adreel.models.sessions import read_session
from adreel.purchase.jobs import buy_scene, open_scenes, resume_job, start_job
from adreel.records import Records
from adreel.service import store_for_generation
from adreel.settings import Settings
from adreel.storage.crash_points import visit_crash_points

def die(name):
    if name == "before the submit":
        os._exit(9)

settings = Settings.load()
records = Records.of(settings)
if sys.argv[1] == "plan":
    store_for_generation(records, settings, read_session(Path("ad.yaml")), [Scenario.HOOK], override_hint="")
    job = start_job(records, settings, "job-1", "ad", scenarios=[Scenario.HOOK])
    with visit_crash_points(die):
        asyncio.run(buy_scene(records, settings, job, Scenario.HOOK))
[(job, _)] = open_scenes(records, settings, "all")
take = asyncio.run(buy_scene(records, settings, resume_job(records, settings, job), Scenario.HOOK))
print(take.clip.file)
"""


@pytest.mark.parametrize(
    "key", [pytest.param("", id="without a key"), pytest.param(KEY, id="with a key", marks=pytest.mark.slow)]
)
def test_another_machine_resumes_with_the_storage_alone(
    tmp_path: Path, s3: S3Server, runware: LocalRunware, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("ADREEL_STORAGE", s3.bucket())
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", json.dumps(s3.options))
    monkeypatch.setenv("RUNWARE_API_KEY", key)
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    image = write_image(here / "lamp.png")
    data = session_data(seconds=1, first_frame="lamp.png")
    (here / "ad.yaml").write_text(yaml.safe_dump(data))
    planned = subprocess.run([sys.executable, "-c", BUY, "plan"], cwd=here, check=False)
    assert planned.returncode == 9
    assert dict(runware.ledger.submits) == {}
    image.unlink()
    resumed = subprocess.run(
        [sys.executable, "-c", BUY, "resume"], cwd=elsewhere, check=True, capture_output=True, text=True
    )
    [entry] = runware.ledger.entries
    assert resumed.stdout == f"ad_hook_{entry.uuid[:8]}.mp4\n"
    [frame] = entry.request["inputs"]["frameImages"]
    assert frame["image"] == (runware.ledger.uploads[0].uuid if key else frame["image"])
    assert len(runware.ledger.uploads) == (1 if key else 0)
    assert list(elsewhere.iterdir()) == []
