"""The checks of a finished file find what is wrong with it, and its marks can be read."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from adreel.cut.plan import AssemblyPlan, CardPlan, SegmentPlan
from adreel.cut.render.assembly import join
from adreel.cut.render.checks import check_file
from adreel.cut.render.marks import XMP_BOX
from adreel.cut.render.samples import Loudness
from adreel.cut.render.segments import render_segment
from adreel.cut.render.sound import encode_aac
from adreel.errors import CutFailed
from tests.cut.cutter import HEIGHT, PLAN, WIDTH, Cutter
from tests.cut.measuring import measure_file
from tests.cut.sounds import sine
from tests.cut.unlike_clips import Clip

LIGHT, BLACK = Clip("light", pictures=12, luma=200), Clip("black", pictures=12, luma=16)
EXPECTED = Loudness(-14, -2)


class Film:
    """A finished file, and what it should have been."""

    def __init__(self, folder: Path, segments: list[Path]) -> None:
        self.out, self.folder, self.segments = folder / "film.mp4", folder, segments

    def check(self, **changes: object) -> None:
        arguments = {
            "segments": self.segments,
            "lengths": [12] * len(self.segments),
            "overlap": 0,
            "expected": EXPECTED,
            "plan": PLAN,
            **changes,
        }
        plan = arguments.pop("plan")
        assert isinstance(plan, AssemblyPlan)
        check_file(self.out, self.folder / "poster.jpg", plan, **arguments)  # type: ignore[arg-type]


@pytest.fixture
async def film(cutter: Cutter, tmp_path: Path) -> Film:
    out, _ = await cutter.cut([LIGHT, LIGHT])
    out.rename(tmp_path / "film.mp4")
    return Film(tmp_path, [cutter.segment(LIGHT)] * 2)


def test_a_right_film_passes(film: Film) -> None:
    film.check()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"plan": replace(PLAN, width=320)}, "its size is 160x90 instead of 320x90"),
        ({"lengths": [12, 13]}, "it has 24 frames instead of 25"),
        ({"expected": Loudness(-20, -2)}, "its loudness is -14.. LUFS instead of -20.0"),
    ],
)
def test_a_film_unlike_its_plan_fails(film: Film, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(CutFailed, match=reason):
        film.check(**changes)


async def test_black_frames_that_no_clip_has_fail(cutter: Cutter, tmp_path: Path) -> None:
    out, _ = await cutter.cut([LIGHT, BLACK])
    ((start, end),) = measure_file(out).black
    assert (start, end) == pytest.approx((0.4, 0.8), abs=0.04)
    out.rename(tmp_path / "film.mp4")
    with pytest.raises(CutFailed, match=r"12 black frames that no clip has, the first at 0\.40 s"):
        Film(tmp_path, [cutter.segment(LIGHT)] * 2).check()


def film_with_sound(cutter: Cutter, folder: Path, samples: bytes) -> Film:
    segment = cutter.segment(LIGHT)
    if not segment.exists():
        render_segment(SegmentPlan(str(cutter.clip(LIGHT)), "", WIDTH, HEIGHT, "crop", LIGHT.frames), segment)
    encode_aac(samples, folder / "sound.m4a")
    join([segment], folder / "sound.m4a", folder / "film.mp4")
    return Film(folder, [segment])


def test_sound_of_another_length_fails(cutter: Cutter, tmp_path: Path) -> None:
    with pytest.raises(CutFailed, match=r"its sound is 0\.6.. s long and its picture 0\.400 s"):
        film_with_sound(cutter, tmp_path, sine(0.6, -20)).check()


def test_a_high_true_peak_fails(cutter: Cutter, tmp_path: Path) -> None:
    with pytest.raises(CutFailed, match=r"its true peak is -0\.. dBTP, above -1"):
        film_with_sound(cutter, tmp_path, sine(0.4, -0.4)).check(expected=Loudness(0, -2))


async def test_segments_of_other_settings_do_not_join(cutter: Cutter, tmp_path: Path) -> None:
    await cutter.cut([LIGHT])
    render_segment(SegmentPlan(str(cutter.clip(LIGHT)), "", 96, 54, "crop", 12), tmp_path / "small.mkv")
    encode_aac(sine(0.8, -20), tmp_path / "sound.m4a")
    with pytest.raises(CutFailed, match="segment 2 was encoded with other settings than the first"):
        join([cutter.segment(LIGHT), tmp_path / "small.mkv"], tmp_path / "sound.m4a", tmp_path / "film.mp4")


def boxes(path: Path) -> list[tuple[str, bytes]]:
    """Return the boxes of an MP4 file in their order."""
    content, found, at = path.read_bytes(), [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4])
        found.append((content[at + 4 : at + 8].decode(), content[at + 8 : at + size]))
        at += size
    return found


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "trainedAlgorithmicMedia"),
        ({"composite": True}, "compositeWithTrainedAlgorithmicMedia"),
        ({"card": CardPlan(10, "Read", "")}, "compositeWithTrainedAlgorithmicMedia"),
    ],
)
async def test_a_film_says_that_it_was_generated(cutter: Cutter, changes: dict[str, Any], kind: str) -> None:
    out, _ = await cutter.cut([LIGHT], title="Glow & read <all> night", **changes)
    found = boxes(out)
    assert [name for name, _ in found if name != "free"] == ["ftyp", "moov", "mdat", "uuid"]
    content = found[-1][1]
    assert content[:16] == XMP_BOX.bytes
    xmp = ElementTree.fromstring(content[16:])  # noqa: S314 - our own file
    (description,) = xmp.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    source_type = description.attrib["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]
    assert source_type == f"http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"
    assert "".join(xmp.itertext()).strip() == "Glow & read <all> night"


async def test_a_film_has_a_poster(cutter: Cutter) -> None:
    out, _ = await cutter.cut([LIGHT])
    with Image.open(out.with_suffix(".jpg")) as poster:
        assert poster.size == (WIDTH, HEIGHT)
        assert poster.convert("L").getextrema()[0] > 150  # type: ignore[operator]
