"""Clips: real MP4 files as ordered."""

import io
from dataclasses import dataclass
from typing import Any

import av
import pytest

from tests.local_runware.client import Starting, ordered_clip


@dataclass(frozen=True)
class Probe:
    size: tuple[int, int]
    frames: int
    rate: float
    seconds: float
    pixel_format: str
    loudest: float | None


def probe(content: bytes) -> Probe:
    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
        assert stream.codec_context.pix_fmt is not None
        return Probe(
            size=frames[0],
            frames=len(frames),
            rate=float(stream.average_rate or 0),
            seconds=(container.duration or 0) / av.time_base,
            pixel_format=stream.codec_context.pix_fmt,
            loudest=loudest(content),
        )


def loudest(content: bytes) -> float | None:
    """Return the loudest sample, or None without a sound track."""
    with av.open(io.BytesIO(content), "r") as container:
        if not container.streams.audio:
            return None
        samples = [memoryview(bytes(frame.planes[0])).cast("f") for frame in container.decode(audio=0)]
        return max(abs(sample) for block in samples for sample in block)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(128, 72, (128, 72)), (72, 128, (72, 128)), (96, 96, (96, 96)), (129, 73, (128, 72)), (16, 16, (16, 16))],
    ids=["landscape", "portrait", "square", "odd", "smallest"],
)
async def test_clip_has_the_size_that_was_asked_for(
    start: Starting, width: int, height: int, size: tuple[int, int]
) -> None:
    rest = await start()
    assert probe(await rest.bought(width=width, height=height)).size == size


@pytest.mark.parametrize(("duration", "fps", "frames"), [(1, None, 24), (1.5, 30, 45), (2, 10, 20)])
async def test_clip_lasts_as_long_as_was_asked(start: Starting, duration: float, fps: int, frames: int) -> None:
    rest = await start()
    found = probe(await rest.bought(duration=duration, fps=fps))
    assert (found.frames, found.rate) == (frames, fps or 24)
    assert found.seconds == pytest.approx(duration, abs=0.05)
    assert found.pixel_format == "yuv420p"


@pytest.mark.parametrize(
    ("model", "switch", "sounds"),
    [
        ("local:card@1", {}, False),
        ("local:card@1", {"settings": {"audio": True}}, True),
        ("local:card@1", {"providerSettings": {"local": {"generateAudio": True}}}, True),
        ("google:3@2", {}, False),
        ("google:3@2", {"providerSettings": {"google": {"generateAudio": True}}}, True),
        ("klingai:kling-video@3-standard", {"providerSettings": {"klingai": {"sound": False}}}, False),
        ("klingai:kling-video@3-standard", {"providerSettings": {"klingai": {"sound": True}}}, True),
        ("bytedance:seedance@2.5", {}, True),
        ("bytedance:seedance@2.5", {"settings": {"audio": False}}, False),
        ("alibaba:wan@3.0", {}, False),
        ("klingai:6@1", {}, False),
    ],
)
async def test_clip_has_a_sound_track_only_if_asked_for(
    start: Starting, model: str, switch: dict[str, Any], sounds: bool
) -> None:
    rest = await start()
    seconds = 4 if model == "google:3@2" else 5
    size = {"width": 1280, "height": 720} if model.startswith("klingai") else {"width": None, "height": None}
    await rest.buy(model=model, duration=seconds, **size, **switch)
    assert ordered_clip(rest.server).sound is sounds


async def test_sound_is_heard(start: Starting) -> None:
    rest = await start()
    heard = loudest(await rest.bought(settings={"audio": True}))
    assert heard is not None
    assert heard > 0.05
    assert loudest(await rest.bought()) is None


async def test_same_request_gives_the_same_bytes_and_another_seed_others(start: Starting) -> None:
    rest, other = await start(), await start()
    first = await rest.bought(seed=1)
    assert first == await other.bought(seed=1)
    assert first != await rest.bought(seed=2)


async def test_clip_plays_while_it_loads(start: Starting) -> None:
    rest = await start()
    content = await rest.bought()
    assert content.index(b"moov") < content.index(b"mdat")


async def test_prompt_may_be_anything(start: Starting) -> None:
    rest = await start()
    odd = "CTA: \u202e \U0001f680 \u65e5\u672c\u8a9e\x00 " + "verylongword" * 200
    assert probe(await rest.bought(positivePrompt=odd)).frames == 24
    assert rest.server.ledger.entries[0].scenario == "cta"


@pytest.mark.parametrize(
    ("wanted", "cut"),
    [("bytes=0-9", slice(0, 10)), ("bytes=10-", slice(10, None)), ("bytes=-5", slice(-5, None))],
)
async def test_clip_is_served_in_ranges(start: Starting, wanted: str, cut: slice) -> None:
    rest = await start()
    url = (await rest.ended(await rest.buy()))["videoURL"]
    whole = await rest.http.get(url)
    part = await rest.http.get(url, headers={"Range": wanted})
    assert (part.status_code, part.content) == (206, whole.content[cut])
    assert part.headers["content-range"].endswith(f"/{len(whole.content)}")
    assert int(whole.headers["content-length"]) == len(whole.content)


async def test_range_beyond_the_end_is_refused(start: Starting) -> None:
    rest = await start()
    url = (await rest.ended(await rest.buy()))["videoURL"]
    assert (await rest.http.get(url, headers={"Range": "bytes=99999999-"})).status_code == 416


async def test_head_tells_the_length(start: Starting) -> None:
    rest = await start()
    url = (await rest.ended(await rest.buy()))["videoURL"]
    assert int((await rest.http.head(url)).headers["content-length"]) == len((await rest.http.get(url)).content)


async def test_unknown_clip_is_not_found(start: Starting) -> None:
    rest = await start()
    assert (await rest.http.get(rest.server.rest_url.replace("/v1", "/clips/x.mp4"))).status_code == 404
