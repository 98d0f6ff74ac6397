"""Frames, references and uploads: they are seen in the clip, and kept by digest."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.local_runware.client import Clock, Connecting, Item, Rest, Starting, new_uuid, ordered_clip, running

Colour = tuple[int, int, int]
RED, BLUE, WHITE = (220, 20, 20), (20, 20, 220), (250, 250, 250)
SMALL = {"width": 128, "height": 72}
NO_SIZE = {"width": None, "height": None}


def picture(colour: Colour, size: tuple[int, int] = (64, 36)) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, "PNG")
    return target.getvalue()


def data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def frames(**images: str) -> Item:
    return {"frameImages": [{"image": image, "frame": position} for position, image in images.items()]}


def pictures(content: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(content), "r") as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]


def is_near(found: Any, colour: Colour) -> bool:
    return all(abs(one - other) < 25 for one, other in zip(found, colour, strict=True))


async def uploaded(rest: Rest, content: bytes) -> Item:
    task = {"taskType": "mediaStorage", "taskUUID": new_uuid(), "operation": "upload", "media": data_uri(content)}
    [item] = (await rest.post([task])).json()["data"]
    assert (item["taskType"], item["taskUUID"]) == (task["taskType"], task["taskUUID"])
    return dict(item)


async def test_first_frame_opens_the_clip_and_the_last_ends_it(start: Starting) -> None:
    rest = await start()
    inputs = frames(first=data_uri(picture(RED)), last=data_uri(picture(BLUE)))
    shown = pictures(await rest.bought(inputs=inputs, duration=2))
    corner = (4, 4)
    assert is_near(shown[0].getpixel(corner), RED)
    assert is_near(shown[-1].getpixel(corner), BLUE)
    assert not is_near(shown[24].getpixel(corner), RED)
    assert not is_near(shown[24].getpixel(corner), BLUE)


async def test_references_are_thumbnails(start: Starting) -> None:
    rest = await start()
    with_one = pictures(await rest.bought(seed=1, width=320, height=180, inputs={"referenceImages": [WHITE_DATA]}))
    without = pictures(await rest.bought(seed=1, width=320, height=180))
    assert count_white(with_one[12]) > count_white(without[12]) + 200


WHITE_DATA = data_uri(picture(WHITE))


def count_white(shown: Image.Image) -> int:
    return sum(count for count, colour in shown.getcolors(2**20) or () if is_near(colour, WHITE))


@pytest.mark.parametrize(
    ("image", "resolution", "size"),
    [
        ((64, 36), None, (1280, 720)),
        ((36, 64), None, (720, 1280)),
        ((50, 50), "480p", (480, 480)),
        ((45, 36), "360p", (450, 360)),
        ((4000, 10), "480p", (1920, 480)),
    ],
)
async def test_size_follows_the_first_frame(
    start: Starting, image: tuple[int, int], resolution: str | None, size: tuple[int, int]
) -> None:
    rest = await start()
    await rest.buy(**NO_SIZE, resolution=resolution, inputs=frames(first=data_uri(picture(RED, image))))
    clip = ordered_clip(rest.server)
    assert (clip.width, clip.height) == size


@pytest.mark.parametrize(("resolution", "size"), [("480p", (854, 480)), ("1080p", (1920, 1080)), ("4K", (3840, 2160))])
async def test_resolution_alone_is_widescreen(start: Starting, resolution: str, size: tuple[int, int]) -> None:
    rest = await start()
    await rest.buy(**NO_SIZE, resolution=resolution)
    clip = ordered_clip(rest.server)
    assert (clip.width, clip.height) == size


async def test_photo_is_shown_upright(start: Starting) -> None:
    rest = await start()
    target = io.BytesIO()
    photo = Image.new("RGB", (60, 30), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(target, "JPEG", exif=exif)
    await rest.buy(**NO_SIZE, inputs=frames(first=data_uri(target.getvalue())))
    clip = ordered_clip(rest.server)
    assert (clip.width, clip.height) == (720, 1440)


async def test_ledger_names_images_by_their_digest(start: Starting, tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    rest = await start(ledger_file=file)
    content = picture(RED)
    url = "https://images.example/lamp.png"
    task = await rest.buy(inputs={**frames(first=data_uri(content)), "referenceImages": [url]})
    [entry] = rest.server.ledger.entries
    name = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert entry.request == {**task, "inputs": {**frames(first=name), "referenceImages": [url]}}
    assert "base64" not in file.read_text()


async def test_clip_with_images_outlives_a_restart(tmp_path: Path) -> None:
    file, clock = tmp_path / "ledger.jsonl", Clock()
    async with running(ledger_file=file, clock=clock) as rest:
        upload = await uploaded(rest, picture(WHITE))
        inputs = {**frames(first=data_uri(picture(RED))), "referenceImages": [upload["mediaUUID"]]}
        task = await rest.buy(inputs=inputs, **SMALL)
        clock.now += 1
        url = (await rest.ended(task))["videoURL"]
        content = (await rest.http.get(url)).content
    async with running(ledger_file=file, clock=clock, port=rest.server.port) as rest:
        assert (await rest.http.get(url)).content == content
        assert is_near(pictures(content)[0].getpixel((4, 4)), RED)
        again = await rest.buy(inputs=frames(first=upload["mediaUUID"]), **SMALL)
        clock.now += 1
        second = (await rest.http.get((await rest.ended(again))["videoURL"])).content
        assert is_near(pictures(second)[0].getpixel((4, 4)), WHITE)


async def test_upload_is_used_and_served(start: Starting) -> None:
    rest = await start()
    content = picture(BLUE)
    upload = await uploaded(rest, content)
    served = await rest.http.get(upload["mediaURL"])
    assert (served.content, served.headers["content-type"]) == (content, "image/png")
    shown = pictures(await rest.bought(inputs=frames(first=upload["mediaUUID"].upper())))
    assert is_near(shown[0].getpixel((4, 4)), BLUE)
    [kept] = rest.server.ledger.uploads
    assert (kept.uuid, kept.image) == (upload["mediaUUID"], f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert (await rest.http.get(rest.server.rest_url.replace("/v1", "/uploads/x"))).status_code == 404


async def test_upload_travels_over_a_socket(start: Starting, connect: Connecting) -> None:
    rest = await start()
    socket = await connect(rest.server)
    task = {"taskType": "mediaStorage", "operation": "upload", "media": data_uri(picture(RED))}
    assert (await socket.ask([task]))["errors"][0]["code"] == "unauthorized"
    await socket.authenticate()
    [item] = (await socket.ask([task]))["data"]
    assert await rest.buy(inputs=frames(first=item["mediaUUID"]))


@pytest.mark.parametrize(
    ("changes", "code", "parameter"),
    [
        ({"operation": "rename"}, "unsupportedOperation", "operation"),
        ({"media": "https://images.example/lamp.png"}, "invalidMedia", "media"),
        ({"media": None}, "invalidMedia", "media"),
        ({"media": data_uri(b"GIF89a no image")}, "invalidMedia", "media"),
        ({"media": data_uri(picture(RED)[:60])}, "invalidMedia", "media"),
    ],
    ids=["other operation", "address", "nothing", "no image", "half an image"],
)
async def test_upload_that_is_no_image_is_refused(start: Starting, changes: Item, code: str, parameter: str) -> None:
    rest = await start()
    task = {"taskType": "mediaStorage", "taskUUID": new_uuid(), "operation": "upload", "media": WHITE_DATA, **changes}
    [error] = (await rest.post([task])).json()["errors"]
    assert (error["code"], error["parameter"], error["taskType"]) == (code, parameter, "mediaStorage")
    assert rest.server.ledger.uploads == []


async def test_one_film_shows_no_images(start: Starting) -> None:
    rest = await start(one_film=True)
    first = await rest.bought(inputs=frames(first=data_uri(picture(RED))))
    assert first == await rest.bought()
