"""Local first frames are copied into the session's folder, so a purchase needs no file outside its storage."""

import hashlib
import io
import json
import os
import re
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from adreel.campaigns import check_sessions, read_sessions
from adreel.emulator import requests
from adreel.emulator.replies import Item, Reply, error
from adreel.errors import InputError, ProviderUnreachable, SceneRefused, StorageError
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges, Session, parse_session
from adreel.models.takes import PROGRESS, AttemptState
from adreel.purchase.jobs import buy_scene, open_scenes, record_failure, resume_job, start_job
from adreel.records import Records
from adreel.records.inputs import (
    MAX_MB,
    READABLE_MB,
    check_image,
    copy_input,
    display_name,
    image_data,
    parse_image,
    read_image,
)
from adreel.records.pruning import prune
from adreel.records.verification import verify
from adreel.service import store_for_generation
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.storage.crash_points import visit_crash_points
from tests.factories import make_session, session_data, write_image
from tests.studio import JOB, Studio, studio
from tests.test_coming_back import end_at

HOOK = Scenario.HOOK
ORIENTATION = 0x0112
HEADER = b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", 20_000, 10_001, 1, 0, 0, 0, 0)), (b"IDAT", b""))
)
"""The beginning of a PNG with too many pixels."""


@pytest.mark.parametrize(
    ("name", "kind", "extension"),
    [
        ("a.png", "PNG", "png"),
        ("a.JPG", "JPEG", "jpg"),
        ("a.webp", "WEBP", "webp"),
        ("no-extension", "WEBP", "webp"),
        ("called.png", "JPEG", "jpg"),
        ("two-pictures.jpg", "MPO", "jpg"),
    ],
)
def test_an_image_is_told_by_its_bytes(tmp_path: Path, name: str, kind: str, extension: str) -> None:
    path = write_image(tmp_path / name, kind)
    check_image(str(path))
    image = read_image(str(path))
    assert (image.content, image.extension, image.name) == (path.read_bytes(), extension, name)


def test_a_file_that_is_no_image_is_not_read_in(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"secret" * 100)
    (tmp_path / "text.png").write_text("root:x:0:0")
    write_image(tmp_path / "picture.gif", "GIF")
    for name in ("secret.png", "text.png", "picture.gif"):
        with pytest.raises(InputError, match=f"{name}' is neither an https URL nor a PNG, JPEG or WebP image"):
            check_image(str(tmp_path / name))


def test_half_an_image_is_refused_before_anything_is_bought(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    Image.effect_noise((200, 200), 50).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"half\.jpg' is a damaged image"):
        read_image(str(path))


def test_too_large_an_image_is_sent_as_a_smaller_copy(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "photo.jpg"
    Image.new("CMYK", (8000, 5100), (0, 80, 120, 9)).save(path, exif=exif, icc_profile=b"a profile")
    assert re.search(r"'photo.jpg' has .* MB and 8000x5100 pixels: a smaller copy is sent", check_image(str(path)))
    image = read_image(str(path))
    assert (image.extension, image.name) == ("jpg", "photo.jpg")
    with Image.open(io.BytesIO(image.content)) as copy:
        assert (copy.size, copy.mode, copy.getexif()[ORIENTATION]) == ((4096, 2611), "CMYK", 6)
        assert copy.info["icc_profile"] == b"a profile"
    assert read_image(str(path)) == image


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16", "1"])
def test_too_many_bytes_are_made_fewer_in_any_mode(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "large.png"
    Image.new(mode, (64, 36)).save(path)
    with path.open("ab") as stream:
        stream.truncate(MAX_MB * 1_000_000 + 1)
    assert "10.0 MB and 64x36 pixels" in check_image(str(path), "references.1")
    image = read_image(str(path))
    with Image.open(io.BytesIO(image.content)) as copy:
        assert (copy.size, len(image.content) < 10_000) == ((64, 36), True)
        assert image.extension == ("png" if mode == "RGBA" else "jpg")


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("heavy.png", READABLE_MB * 1_000_000 + 1, r"has 100\.0 MB, 100 MB are allowed"),
        ("wide.png", len(HEADER), r"has 20000x10001 pixels, 200 million are allowed"),
        ("empty.png", 0, "is neither an https URL nor a PNG, JPEG or WebP image"),
    ],
)
def test_an_absurd_image_is_refused_unread(tmp_path: Path, name: str, size: int, reason: str) -> None:
    (tmp_path / name).write_bytes(HEADER)
    os.truncate(tmp_path / name, size)
    for read in (check_image, read_image):
        with pytest.raises(InputError, match=rf"^references\.1 '.*{name}' {reason}"):
            read(str(tmp_path / name), "references.1")


@pytest.mark.parametrize("file", ["http://pictures.example/a.png", f"data:image/png;base64,{'A' * 10_000}"], ids=len)
def test_only_an_https_address_is_taken(file: str) -> None:
    with pytest.raises(InputError, match="is no https URL: give one, or the path of a PNG, JPEG or WebP") as caught:
        check_image(file)
    assert len(str(caught.value)) < 250


def test_an_image_from_elsewhere_is_not_scaled() -> None:
    small, large = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (16, 9)).save(small, "WEBP")
    Image.new("1", (8000, 5100)).save(large, "PNG")
    assert parse_image(small.getvalue(), "a\n.webp", "the image").reference.endswith(".webp#a.webp")
    with pytest.raises(InputError, match=r"^the image has .* 8000x5100 pixels, .*: make it smaller$"):
        parse_image(large.getvalue(), "a.png", "the image", scales=False)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png' is not a file"):
        check_image(str(tmp_path / "pipe.png"))


def test_a_copy_is_made_once_and_never_overwritten(storage: Storage, tmp_path: Path) -> None:
    image = read_image(str(write_image(tmp_path / "lamp.png")))
    reference = copy_input(storage, "ad", image)
    copy = Path(storage.location(f"sessions/ad/{reference.partition('#')[0]}"))
    written = copy.stat().st_mtime_ns
    assert copy_input(storage, "ad", image) == reference
    assert (copy.stat().st_mtime_ns, display_name(reference)) == (written, "lamp.png")
    copy.write_bytes(b"something else")
    with pytest.raises(StorageError, match="is not the image that was copied there"):
        copy_input(storage, "ad", image)
    with pytest.raises(StorageError, match="is not the image that was copied there"):
        image_data(storage, "ad", reference)


def test_a_web_address_is_sent_as_it_is(storage: Storage) -> None:
    assert image_data(storage, "ad", "https://pictures.example/a") == "https://pictures.example/a"


# Jobs


async def test_a_local_image_is_copied_when_its_session_is_stored_and_sent_from_there(tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.jpg", "JPEG")
    async with studio() as it:
        store(it, image)
        content = image.read_bytes()
        image.unlink()
        take = await it.produce()
        assert take.is_stored
        assert display_name(take.request.first_frame or "") == "lamp.jpg"
        assert str(tmp_path) not in take.model_dump_json() + it.records.session("ad").model_dump_json()
        assert sent_images(it) == [f"sha256:{hashlib.sha256(content).hexdigest()}"]
        assert verify(it.records) == []


async def test_a_session_that_names_a_path_gets_its_copy_when_a_job_is_planned(tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.png")
    async with studio() as it:
        it.records.save_session(with_image(image))
        job = it.start(HOOK)
        image.unlink()
        assert (await it.produce(job=job)).is_stored
        assert (await it.produce(job=it.start_another(HOOK))).is_stored
        assert len(set(sent_images(it))) == 1


async def test_an_image_that_is_changed_for_one_take_is_copied_as_well(tmp_path: Path) -> None:
    image = write_image(tmp_path / "other.png")
    async with studio() as it:
        changes = SceneChanges(first_frame=str(image))
        job = start_job(it.records, it.settings, JOB, "ad", scenarios=[HOOK], changes=changes)
        image.unlink()
        recorded = it.records.job(JOB)
        assert recorded is not None
        assert recorded.changes is not None
        assert display_name(recorded.changes.first_frame or "") == "other.png"
        assert (await it.produce(job=job)).is_stored
        assert it.records.session("ad").scene(HOOK).first_frame is None


async def test_a_damaged_image_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    whole, half = write_image(tmp_path / "whole.png"), tmp_path / "half.jpg"
    Image.effect_noise((200, 200), 50).save(half, "JPEG")
    half.write_bytes(half.read_bytes()[:2000])
    session = with_image(whole)
    session.references = [str(whole), str(half)]
    async with studio() as it:
        before = it.records.session("ad")
        with pytest.raises(InputError, match=r"^scene hook: references\.1 '.*half\.jpg' is a damaged image"):
            store_for_generation(it.records, it.settings, session, [HOOK], override_hint="--again")
        assert it.records.session("ad") == before
        assert not it.records.storage.exists("sessions/ad/inputs")


async def test_images_of_all_kinds_and_places_are_sent_once_copied(tmp_path: Path) -> None:
    images = [write_image(tmp_path / f"{shade}.png", shade=shade) for shade in range(4)]
    session = with_image(images[0])
    session.last_frame = str(images[1])
    session.references = ["https://pictures.example/a", str(images[2]), str(images[2])]
    session.scene(Scenario.CTA).references = [str(images[3])]
    async with studio() as it:
        store_for_generation(it.records, it.settings, session, None, override_hint="--again")
        for image in images:
            image.unlink()
        job = it.start(HOOK, Scenario.CTA)
        for scenario in job.scenarios:
            assert (await it.produce(scenario, job=job)).is_stored
        assert len(it.records.storage.names("sessions/ad/inputs")) == 4
        hook, cta = [entry.request["inputs"] for entry in it.server.ledger.entries]
        assert [frame["frame"] for frame in hook["frameImages"]] == ["first", "last"]
        assert len(hook["referenceImages"]) == 3
        assert hook["referenceImages"][1] == hook["referenceImages"][2] != cta["referenceImages"][0]
        assert [frame["frame"] for frame in cta["frameImages"]] == ["last"]


async def test_an_open_take_is_resumed_from_a_copy_of_the_storage_on_another_machine(tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.png")
    async with studio() as it:
        store(it, image)
        it.start()
        shutil.move(it.records.storage.location(""), tmp_path / "elsewhere")
        image.unlink()
        settings = it.settings.model_copy(update={"storage": str(tmp_path / "elsewhere")})
        records = Records.of(settings)
        [(job, scenarios)] = open_scenes(records, settings, "all")
        resumed = resume_job(records, settings, job)
        for scenario in scenarios:
            assert (await buy_scene(records, settings, resumed, scenario)).is_stored
        assert len(it.bought) == 4


async def test_a_copy_that_is_gone_ends_the_take_before_it_is_submitted(tmp_path: Path) -> None:
    async with studio() as it:
        store(it, write_image(tmp_path / "lamp.png"))
        job = it.start(HOOK)
        shutil.rmtree(it.records.storage.location("sessions/ad/inputs"))
        reached: list[str] = []
        with (
            visit_crash_points(reached.append),
            pytest.raises(InputError, match=r"scene hook: the copy .* is gone from .*/inputs/.*Nothing was bought"),
        ):
            await it.produce(job=job)
        assert f"before the record: {PROGRESS['submitted']}" not in reached
        assert it.server.ledger.submits == {}
        assert (it.take().attempts[-1].state, it.take().cost) == (AttemptState.FAILED, 0)
        assert open_scenes(it.records, it.settings, "ad") == []


async def test_a_refusal_of_the_image_names_the_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(task: Item) -> Reply | None:
        parameter = "inputs.frameImages[0].image"
        return error("unsupportedImage", "Too few pixels.", uuid=task["taskUUID"], parameter=parameter)

    async with studio() as it:
        store(it, write_image(tmp_path / "lamp.png"))
        monkeypatch.setitem(requests.CHECKS, "videoInference", (refuse,))
        with pytest.raises(SceneRefused, match=r"Too few pixels.*The image is the scene's first_frame 'lamp\.png'$"):
            await it.produce()
        problem = it.take().attempts[-1].problem
        assert problem is not None
        assert problem.message.endswith("first_frame 'lamp.png'")


async def test_verify_names_what_an_open_take_lacks(tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.png")
    async with studio() as it:
        store(it, image)
        it.start(HOOK)
        assert verify(it.records) == []
        [copy] = Path(it.records.storage.location("sessions/ad/inputs")).iterdir()
        copy.write_bytes(b"another")
        assert [(finding.path, finding.kind) for finding in verify(it.records)] == [
            (f"sessions/ad/inputs/{copy.name}", "changed")
        ]
        copy.unlink()
        assert [finding.kind for finding in verify(it.records)] == ["missing"]
        plan_as_before(it, image, None)
        assert [finding.kind for finding in verify(it.records)] == ["outside", "missing"]


async def test_pruning_a_take_leaves_the_images_of_its_session_and_of_other_takes(tmp_path: Path) -> None:
    async with studio() as it:
        store(it, write_image(tmp_path / "lamp.png"))
        pruned = await it.produce()
        changes = SceneChanges(first_frame=str(write_image(tmp_path / "other.png", shade=9)))
        job = start_job(it.records, it.settings, "job-2", "ad", scenarios=[HOOK], changes=changes)
        prune(it.records, pruned)
        assert len(it.records.storage.names("sessions/ad/inputs")) == 2
        assert (await it.produce(job=job)).is_stored
        assert (await it.produce(job=it.start_another(HOOK))).is_stored
        assert verify(it.records) == []


# Requests of earlier versions, which name a file outside the storage


@pytest.mark.parametrize("state", [None, AttemptState.SUBMITTED], ids=["planned", "submitted"])
async def test_an_old_request_is_resumed_if_its_file_is_there(tmp_path: Path, state: AttemptState | None) -> None:
    image = write_image(tmp_path / "lamp.webp", "WEBP")
    async with studio() as it:
        plan_as_before(it, image, state)
        assert (await it.produce()).is_stored
        [sent] = sent_images(it)
        assert sent == f"sha256:{hashlib.sha256(image.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("state", [None, AttemptState.SUBMITTED], ids=["planned", "submitted"])
async def test_an_old_request_without_its_file_ends_and_blocks_no_new_job(
    tmp_path: Path, state: AttemptState | None
) -> None:
    image = write_image(tmp_path / "lamp.png")
    async with studio() as it:
        plan_as_before(it, image, state)
        image.unlink()
        with pytest.raises(InputError, match=r"lamp.png': No such file.*Nothing was bought.*adreel regenerate ad hook"):
            await it.produce()
        assert it.take().attempts[-1].state == AttemptState.FAILED
        record_failure(it.records, it.start(HOOK), HOOK, InputError("gone"))
        store_for_generation(it.records, it.settings, make_session(seconds=2), None, override_hint="--again")
        assert (await it.produce(job=it.start_another(HOOK))).is_stored
        assert len(it.bought) == 1


async def test_an_old_request_that_may_have_been_accepted_is_not_given_up_without_its_file(tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.png")
    async with studio() as it:
        plan_as_before(it, image, None)
        await end_at(it, "after the submit")
        image.unlink()
        it.server.inject("refuseConnectionx2")
        with pytest.raises(ProviderUnreachable, match="scene hook"):
            await it.produce()
        assert it.take().attempts[-1].state == AttemptState.SUBMITTED
        assert (await it.produce()).is_stored
        assert len(it.bought) == 1


# Sources


def test_an_image_is_found_beside_the_session_file_then_in_the_current_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ads"
    folder.mkdir()
    beside = write_image(folder / "lamp.png")
    here = write_image(tmp_path / "cat.png")
    write_image(tmp_path / "lamp.png", shade=9)
    for name, path in (("lamp.png", beside), ("cat.png", here), (str(here), here)):
        assert parsed(name, folder=folder).scene(HOOK).first_frame == str(path)
    assert parsed("gone.png", folder=folder).scene(HOOK).first_frame == "gone.png"


@pytest.mark.parametrize(
    "frame", ["/srv/lamp.png", "lamp.png", "file:///srv/lamp.png", "inputs/../../x.png", "~/a.png"]
)
def test_data_from_elsewhere_names_no_local_file(frame: str) -> None:
    with pytest.raises(InputError, match=r"scene hook: first_frame '.*' is not an https URL"):
        parsed(frame)


@pytest.mark.parametrize("kind", ["jsonl", "yaml", "folder"])
def test_a_campaign_names_local_images_only_if_it_is_local_itself(tmp_path: Path, kind: str) -> None:
    write_image(tmp_path / "lamp.png")
    data = session_data()
    data["scene_descriptions"][0]["first_frame"] = "lamp.png"
    scenes = data["scene_descriptions"]
    variants = {"products": [data], "variants": [{"variant": "a", "scene_descriptions": scenes}]}
    name, content = {
        "jsonl": ("spring.jsonl", json.dumps(data)),
        "yaml": ("spring.yaml", json.dumps(variants)),
        "folder": ("spring/ad.json", json.dumps(data)),
    }[kind]
    (tmp_path / "spring").mkdir()
    (tmp_path / name).write_text(content)
    storage = Storage(f"memory://{tmp_path.name}")
    storage.write(name, content.encode())
    settings = Settings(ADREEL_MODEL="bytedance:2@2")
    source = name.partition("/")[0]
    for local in (str(tmp_path / source), f"file://{tmp_path / source}"):
        (session,) = read_sessions(settings, local)
        assert session.scene(HOOK).first_frame == str(tmp_path / "lamp.png")
    with pytest.raises(InputError, match="scene hook: first_frame 'lamp\\.png' is not an https URL"):
        check_sessions(settings, f"memory://{tmp_path.name}/{source}")


def test_a_reference_leads_to_no_other_folder(storage: Storage, tmp_path: Path) -> None:
    reference = copy_input(storage, "ad", read_image(str(write_image(tmp_path / "lamp.png"))))
    records, settings = Records(storage), Settings(ADREEL_MODEL="bytedance:2@2")
    records.save_session(parsed(reference, session_id="other"))
    with pytest.raises(InputError, match=r"scene hook: the image 'lamp\.png' is not in the folder of session 'other'"):
        start_job(records, settings, JOB, "other", scenarios=[HOOK])
    assert records.job(JOB) is None


def store(it: Studio, image: Path) -> None:
    store_for_generation(it.records, it.settings, with_image(image), None, override_hint="--again")


def with_image(image: Path) -> Session:
    session = make_session(seconds=2)
    session.scene(HOOK).first_frame = str(image)
    return session


def plan_as_before(it: Studio, image: Path, state: AttemptState | None) -> None:
    """Write a take as earlier versions did, whose request names the file itself."""
    it.start(HOOK)
    take = it.take()
    take.request = take.request.model_copy(update={"first_frame": str(image)})
    if state is not None:
        take.plan_attempt(take.created_at)
        take.advance(state)
    it.records.save_take(take)


def sent_images(it: Studio) -> list[str]:
    return [
        frame["image"]
        for entry in it.server.ledger.entries
        for frame in entry.request.get("inputs", {}).get("frameImages", [])
    ]


def parsed(first_frame: str, *, folder: Path | None = None, **changes: Any) -> Session:
    data = session_data(**changes)
    data["scene_descriptions"][0]["first_frame"] = first_frame
    return parse_session(data, folder=folder)
