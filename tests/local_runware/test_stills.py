"""Stills: real images as ordered."""

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from PIL import Image, ImageChops

from tests.local_runware.additions import STILL, draw, new_facts
from tests.local_runware.client import Rest, Starting, new_uuid, url_of
from tests.local_runware.test_input_images import RED, data_uri, picture

FORMATS = {"JPG": ("JPEG", "image/jpeg"), "PNG": ("PNG", "image/png"), "WEBP": ("WEBP", "image/webp")}


def look(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def decode(content: bytes, folder: Path) -> None:
    """Decode a file by FFmpeg's own program; CalledProcessError if that fails."""
    (folder / "still").write_bytes(content)
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-xerror",
        "-i",
        str(folder / "still"),
        "-f",
        "null",
        "-",
    ]
    subprocess.run(command, check=True)


def has_red(content: bytes) -> bool:
    """Whether any pixel is as red as the reference."""
    red, green, blue = look(content).convert("RGB").split()
    masks = (
        red.point(lambda value: 255 * (value > 200)),
        *(band.point(lambda value: 255 * (value < 60)) for band in (green, blue)),
    )
    return ImageChops.multiply(ImageChops.multiply(masks[0], masks[1]), masks[2]).getbbox() is not None


@pytest.fixture
async def rest(start: Starting) -> Rest:
    return await start(facts=new_facts())


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (128, 72)),
        ({"width": 72, "height": 128}, (72, 128)),
        ({"width": None, "height": None}, (1024, 1024)),
        ({"width": None, "height": None, "resolution": "0.5K"}, (512, 512)),
        ({"width": None, "height": None, "resolution": "2K"}, (2048, 2048)),
        ({"model": "local:still@1", "width": 33, "height": 17}, (33, 17)),
    ],
)
async def test_still_has_the_size_that_was_asked_for(
    rest: Rest, changes: dict[str, Any], size: tuple[int, int]
) -> None:
    assert look(await rest.made(draw(**changes))).size == size


@pytest.mark.parametrize("image_format", FORMATS)
async def test_result_names_a_file_of_its_type(rest: Rest, tmp_path: Path, image_format: str) -> None:
    result = await rest.ended(await rest.order(draw(outputFormat=image_format, seed=9)))
    assert result.keys() == {"taskType", "taskUUID", "status", "imageUUID", "imageURL", "seed", "cost"}
    assert (result["taskType"], result["seed"]) == ("imageInference", 9)
    response = await rest.http.get(result["imageURL"])
    assert (look(response.content).format, response.headers["content-type"]) == FORMATS[image_format]
    decode(response.content, tmp_path)


async def test_same_request_gives_the_same_bytes_and_another_seed_others(rest: Rest) -> None:
    first = await rest.made(draw(seed=1))
    assert first == await rest.made(draw(seed=1))
    assert first != await rest.made(draw(seed=2))


async def test_reference_is_shown(rest: Rest) -> None:
    size = {"model": "local:still@1", "width": 640, "height": 360, "seed": 1, "outputFormat": "PNG"}
    red = data_uri(picture(RED))
    assert not has_red(await rest.made(draw(**size)))
    assert has_red(await rest.made(draw(**size, inputs={"referenceImages": [red]})))
    upload = {"taskType": "mediaStorage", "taskUUID": new_uuid(), "operation": "upload", "media": red}
    [uploaded] = (await rest.post([upload])).json()["data"]
    assert has_red(await rest.made(draw(**size, inputs={"referenceImages": [uploaded["mediaUUID"]]})))


async def test_ledger_names_the_scene(rest: Rest) -> None:
    await rest.order(draw("Hook"))
    await rest.order(draw(positivePrompt="Still picture, the opening frame. CTA scene of a video ad for a hook."))
    await rest.order(draw(positivePrompt="A cap that solves a problem."))
    await rest.buy("Hook")
    assert [entry.scenario for entry in rest.server.ledger.entries] == ["still-hook", "still-cta", "still", "hook"]
    assert [entry.output.kind for entry in rest.server.ledger.entries] == ["still", "still", "still", "clip"]


async def odd_still(start: Starting, fault: str) -> bytes:
    rest = await start(facts=new_facts(), faults=[fault])
    content = await rest.made(draw(model=STILL))
    assert rest.server.struck == [fault]
    return content


async def test_still_can_be_smaller_than_ordered(start: Starting) -> None:
    assert look(await odd_still(start, "smallerStill")).size == (64, 36)


async def test_still_can_be_truncated(start: Starting) -> None:
    content = await odd_still(start, "truncatedStill")
    assert Image.open(BytesIO(content)).size == (128, 72)
    with pytest.raises(OSError, match="truncated"):
        look(content)


async def test_still_can_be_noise(start: Starting) -> None:
    content = await odd_still(start, "undecodableStill")
    with pytest.raises(OSError, match="cannot identify"):
        look(content)


async def test_download_is_cut(start: Starting) -> None:
    rest = await start(facts=new_facts(), faults=["shortBodyNoLength:still"])
    url = url_of(await rest.ended(await rest.order(draw())))
    short, whole = await rest.http.get(url), await rest.http.get(url)
    assert short.content == whole.content[: len(whole.content) // 2]
