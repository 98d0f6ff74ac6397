"""Clips of all kinds become films of exact length, measured by FFmpeg's own program."""

import os
import random
import subprocess
import sys
from array import array
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from av.video.frame import VideoFrame
from PIL import Image

from adreel.cut.plan import ClipFacts, Measures, SegmentPlan
from adreel.cut.render.process import inspect, render
from adreel.cut.render.samples import SAMPLE_BYTES
from adreel.cut.render.segments import render_segment, segment_samples
from adreel.cut.render.sources import clip_samples, steady
from adreel.errors import InputError
from tests.cut.cutter import HEIGHT, PLAN, WIDTH, Cutter
from tests.cut.measuring import ffmpeg, measure_file
from tests.cut.sounds import loudest
from tests.cut.unlike_clips import CLIPS, MORE, Clip, hdr

ALL = [*CLIPS, *MORE]
AS_SHOWN = (
    f"scale=iw*sar:ih:flags=bicubic,setsar=1,scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=increase:flags=bicubic,"
    f"crop={WIDTH}:{HEIGHT}"
)
SOFT = "gblur=sigma=2"


@pytest.fixture(scope="module")
async def facts(cutter: Cutter) -> dict[str, ClipFacts]:
    return dict(zip([clip.name for clip in ALL], await inspect(list(map(cutter.clip, ALL))), strict=True))


def check(out: Path, measures: Measures, frames: int) -> None:
    found = measure_file(out)
    assert found.frames == measures.frames == frames
    assert "h264 (High)" in found.video
    assert f"yuv420p(tv, bt709, progressive), {WIDTH}x{HEIGHT}" in found.video
    assert "30 fps" in found.video
    assert abs(found.sound_seconds - frames / 30) <= 1 / 30
    assert found.loudness == pytest.approx(-14, abs=0.5)
    assert found.true_peak <= -1
    assert found.black == []
    assert measures.loudness == pytest.approx(found.loudness, abs=0.11)


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: clip.name)
def test_a_clip_is_measured_as_it_is_shown(clip: Clip, facts: dict[str, ClipFacts]) -> None:
    found = facts[clip.name]
    assert found.frames == clip.frames
    assert found.has_sound == bool(clip.sound)
    assert not found.warnings
    expected = {"1284x716": (1284, 716), "upright": (90, 160)}.get(clip.name, (160, 90))
    assert (found.width, found.height) == expected


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 20))])
async def test_unlike_clips_in_any_order(cutter: Cutter, seed: int) -> None:
    order = random.Random(seed).sample(CLIPS, len(CLIPS))  # noqa: S311 - the same orders every time
    out, measures = await cutter.cut(order)
    check(out, measures, sum(clip.frames for clip in order))


async def test_every_other_kind_of_clip_joins(cutter: Cutter) -> None:
    out, measures = await cutter.cut(MORE)
    check(out, measures, sum(clip.frames for clip in MORE))


def shown(path: Path, *filters: str) -> bytes:
    """Return the first picture as FFmpeg's own program shows it, as RGB."""
    pictures, _ = ffmpeg(
        *("-v", "error", "-i", path, "-vf", ",".join([*filters, "scale=out_color_matrix=bt709"]), "-frames:v", "1"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
    )
    return pictures


def segment_of(cutter: Cutter, clip: Clip) -> Path:
    segment = cutter.segment(clip)
    if not segment.exists():
        render_segment(SegmentPlan(str(cutter.clip(clip)), "", WIDTH, HEIGHT, "crop", clip.frames), segment)
    return segment


def mean_difference(ours: bytes, theirs: bytes) -> float:
    return sum(abs(one - other) for one, other in zip(ours, theirs, strict=True)) / len(ours)


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: clip.name)
def test_a_segment_looks_like_its_clip(cutter: Cutter, clip: Clip) -> None:
    segment = segment_of(cutter, clip)
    # FFmpeg's filters take untagged pictures as SD, players take large ones as HD.
    matrix = ["setparams=colorspace=bt709"] if clip.size[0] >= 1280 else []
    # Fine stripes look different when a picture is moved by a tenth of a pixel.
    ours, theirs = shown(segment, SOFT), shown(cutter.clip(clip), *matrix, AS_SHOWN, SOFT)
    assert mean_difference(ours, theirs) < 6


def test_an_upright_film_gets_a_blurred_surrounding(cutter: Cutter, tmp_path: Path) -> None:
    path = cutter.clip(next(clip for clip in MORE if clip.name == "upright"))
    out = tmp_path / "blur.mkv"
    render_segment(SegmentPlan(str(path), "", 480, 320, "blur", 2), out)
    assert mean_difference(shown(out, "crop=176:316"), shown(path, "scale=180:320:flags=bicubic,crop=176:316")) < 3
    side = shown(out, "crop=140:320:0:0", "format=gray")
    assert min(side) > 20
    assert max(abs(side[at + 3] - side[at]) for at in range(0, len(side) - 3, 3) if (at // 3 + 1) % 140) < 12


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc fills freed memory")
@pytest.mark.parametrize("name", ["oblong-pixels", "one-frame"])
def test_a_clip_is_read_without_the_memory_of_its_closed_file(cutter: Cutter, tmp_path: Path, name: str) -> None:
    [clip] = [each for each in ALL if each.name == name]
    plan = SegmentPlan(str(cutter.clip(clip)), "", WIDTH, HEIGHT, "crop", clip.frames)
    code = (
        "from pathlib import Path\nfrom adreel.cut.plan import SegmentPlan\n"
        "from adreel.cut.render.segments import render_segment\nfrom adreel.cut.render.sources import inspect_clip\n"
        f"inspect_clip({plan.clip!r})\nrender_segment({plan!r}, Path({str(tmp_path / 'out.mkv')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "MALLOC_PERTURB_": "85"}, check=False)
    assert done.returncode == 0


async def test_cover_art_is_not_the_picture(cutter: Cutter, tmp_path: Path) -> None:
    plain = cutter.clip(CLIPS[1])
    Image.new("RGB", (64, 64), "red").save(tmp_path / "cover.jpg")
    streams = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg("-v", "error", "-i", plain, "-i", tmp_path / "cover.jpg", *streams, tmp_path / "cover.mp4")
    with_cover, bare = await inspect([tmp_path / "cover.mp4", plain])
    assert with_cover == bare


@pytest.mark.parametrize("rate", [24, 25, 30, 48, 50, 60])
def test_motion_is_even_although_times_are_rounded(rate: int) -> None:
    times = [round(number / rate, 3) for number in range(2 * rate)]
    pictures = ((time, cast(VideoFrame, number)) for number, time in enumerate(times))
    shown = cast(list[int], list(steady(pictures, 60)))
    assert shown[0] == 0
    steps = {after - before for before, after in pairwise(shown)}
    assert steps <= {rate // 30, -(-rate // 30)}


@pytest.mark.parametrize(("name", "transfer"), [("PQ", 16), ("HLG", 18)])
async def test_hdr_is_refused_by_name(tmp_path: Path, name: str, transfer: int) -> None:
    clip = Clip(name, pictures=2, change=hdr(transfer)).write(tmp_path)
    with pytest.raises(InputError, match=rf"^{name}\.mp4: the clip is HDR \({name}\): convert it to SDR"):
        await inspect([clip])


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: clip.name)
def test_a_segment_has_sound_of_its_exact_length(cutter: Cutter, clip: Clip) -> None:
    samples = segment_samples(segment_of(cutter, clip))
    assert len(samples) == clip.frames * 1600 * SAMPLE_BYTES
    assert (loudest(samples) > 0.05) == bool(clip.sound)


def write_beep(path: Path, late: str = "") -> Path:
    """Write a clip of a second that beeps from 0.5 to 0.6 s, with a stream that starts late."""
    tone = "aevalsrc='if(between(t,0.5,0.6),sin(2*PI*1000*t),0)':s=44100:d=1"
    picture = ("-f", "lavfi", "-i", "color=gray:size=64x48:rate=25:duration=1")
    ffmpeg(
        *("-v", "error", *(("-itsoffset", "0.5") if late == "picture" else ()), *picture),
        *(("-itsoffset", "0.3") if late == "sound" else ()),
        *("-f", "lavfi", "-i", tone, "-c:a", "aac", path),
    )
    return path


def beginnings(samples: bytes) -> list[float]:
    """Return the seconds at which sounds begin after a pause."""
    loud = [number / 2 / 48000 for number, value in enumerate(array("f", samples)) if abs(value) > 0.1]
    return [after for before, after in pairwise([-1.0, *loud]) if after - before > 0.1]


@pytest.mark.parametrize(("late", "beep"), [("", 0.5), ("sound", 0.8), ("picture", 0.5)])
def test_sound_stays_with_its_picture(tmp_path: Path, late: str, beep: float) -> None:
    samples = clip_samples(write_beep(tmp_path / "clip.mp4", late), 39)
    assert beginnings(samples) == pytest.approx([beep], abs=0.005)


@pytest.mark.parametrize("fade_frames", [0, 6])
async def test_sound_stays_in_its_place_in_the_film(tmp_path: Path, fade_frames: int) -> None:
    plan = SegmentPlan(str(write_beep(tmp_path / "clip.mp4")), "", WIDTH, HEIGHT, "crop", 30)
    film = replace(PLAN, segments=(str(tmp_path / "beep.mkv"),) * 3, fade_frames=fade_frames)
    await render({tmp_path / "beep.mkv": plan}, {tmp_path / "film.mp4": film})
    samples, _ = ffmpeg("-v", "error", "-i", tmp_path / "film.mp4", "-f", "f32le", "-ar", "48000", "-ac", "2", "-")
    step = 1 - fade_frames / 30
    assert beginnings(samples) == pytest.approx([0.5, 0.5 + step, 0.5 + 2 * step], abs=0.005)


async def test_an_unreadable_input_is_named(cutter: Cutter, tmp_path: Path) -> None:
    for name in ("broken.mp4", "music.mp3", "logo.png"):
        (tmp_path / name).write_bytes(b"no media at all" * 100)
    with pytest.raises(InputError, match=r"^broken\.mp4: the clip can't be read"):
        await inspect([cutter.clip(CLIPS[0]), tmp_path / "broken.mp4"])
    with pytest.raises(InputError, match=r"^music\.mp3: the sound can't be read"):
        await inspect([], sounds=[tmp_path / "music.mp3"])
    with pytest.raises(InputError, match=r"^no-sound\.mp4: there is no sound in it"):
        await inspect([], sounds=[cutter.clip(next(clip for clip in CLIPS if not clip.sound))])
    with pytest.raises(InputError, match=r"^logo\.png: the picture can't be read"):
        await inspect([], logos=[tmp_path / "logo.png"])
