"""Crossfades: picture and sound overlap by the same number of frames, and nothing is lost."""

from array import array
from pathlib import Path

import pytest

from adreel.cut.plan import CardPlan
from adreel.errors import CutFailed
from tests.cut.cutter import HEIGHT, WIDTH, Cutter
from tests.cut.measuring import ffmpeg, gray_pictures, measure_file
from tests.cut.unlike_clips import CLIPS, Clip

DARK = Clip("dark", pictures=20, luma=60)
LIGHT = Clip("light", pictures=20, luma=200, sound="")
CARD = CardPlan(15, "Read on", "glowcap.example", ("#808080",))


def levels(out: Path) -> list[float]:
    """Return the mean luma of each picture."""
    return [sum(picture) / len(picture) for picture in gray_pictures(out, (WIDTH, HEIGHT))]


def sound(out: Path) -> "array[float]":
    return array("f", ffmpeg("-v", "error", "-i", out, "-f", "f32le", "-ac", "1", "-ar", "48000", "-")[0])


async def test_pictures_fade_evenly(cutter: Cutter) -> None:
    out, measures = await cutter.cut([DARK, LIGHT, DARK], fade_frames=8)
    found = levels(out)
    assert len(found) == measures.frames == 60 - 16
    dark, light = found[0], found[18 + 5]
    assert found[:12] == pytest.approx([dark] * 12, abs=2)
    assert found[20:24] == pytest.approx([light] * 4, abs=2)
    assert found[32:] == pytest.approx([dark] * 12, abs=2)
    rising = [dark + (light - dark) * step / 8 for step in range(8)]
    assert found[12:20] == pytest.approx(rising, abs=(light - dark) / 8 + 2)
    assert found[12:21] == sorted(found[12:21])
    assert found[24:33] == sorted(found[24:33], reverse=True)


async def test_sound_fades_with_the_picture(cutter: Cutter) -> None:
    out, measures = await cutter.cut([DARK, LIGHT, DARK], fade_frames=8)
    samples = sound(out)
    assert abs(len(samples) / 48000 - measures.frames / 30) <= 1 / 30
    strength = [
        max(map(abs, samples[number * 1600 : (number + 1) * 1600]), default=0.0) for number in range(measures.frames)
    ]
    loud = strength[5]
    assert strength[2:11] == pytest.approx([loud] * 9, rel=0.1)
    assert max(strength[21:23]) < loud / 20
    assert strength[34:42] == pytest.approx([loud] * 8, rel=0.1)
    # Equal power: in the middle of a fade the sound has lost 3 dB.
    assert strength[15] == pytest.approx(loud * 0.74, rel=0.12)


@pytest.mark.parametrize("number", [4, pytest.param(12, marks=pytest.mark.slow)])
async def test_unlike_clips_fade(cutter: Cutter, number: int) -> None:
    clips = [clip for clip in CLIPS if clip.frames >= 10][:number]
    out, measures = await cutter.cut(clips, fade_frames=5)
    found = measure_file(out)
    assert found.frames == measures.frames == sum(clip.frames for clip in clips) - 5 * (len(clips) - 1)
    assert abs(found.sound_seconds - found.frames / 30) <= 1 / 30
    assert found.loudness == pytest.approx(-14, abs=0.5)
    assert found.true_peak <= -1
    assert found.black == []


@pytest.mark.parametrize("fade_frames", [0, 6])
async def test_a_card_ends_the_film(cutter: Cutter, fade_frames: int) -> None:
    out, measures = await cutter.cut([DARK, LIGHT], fade_frames=fade_frames, card=CARD)
    found = measure_file(out)
    assert found.frames == measures.frames == 20 + 20 + 15 - 2 * fade_frames
    assert abs(found.sound_seconds - found.frames / 30) <= 1 / 30
    pictures = gray_pictures(out, (WIDTH, HEIGHT))
    assert min(pictures[-1]) < 40
    assert pictures[-1][0] == pytest.approx(125, abs=6)


async def test_the_usual_card_is_not_black(cutter: Cutter) -> None:
    out, _ = await cutter.cut([LIGHT], card=CardPlan(15, "", ""))
    assert measure_file(out).black == []


async def test_a_single_clip_does_not_fade(cutter: Cutter) -> None:
    _, measures = await cutter.cut([DARK], fade_frames=8)
    assert measures.frames == 20


@pytest.mark.parametrize(
    ("clip", "fade_frames", "reason"),
    [
        (LIGHT, 11, "the fade of 11 frames between segments 1 and 2 is longer than half of the shorter one"),
        (CLIPS[-1], 1, "longer than half of the shorter one, which has 1"),
    ],
)
async def test_a_fade_longer_than_half_a_clip_is_refused(
    cutter: Cutter, clip: Clip, fade_frames: int, reason: str
) -> None:
    with pytest.raises(CutFailed, match=reason):
        await cutter.cut([DARK, clip], fade_frames=fade_frames)
