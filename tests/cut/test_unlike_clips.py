"""Clips of all kinds become films of exact length, measured by FFmpeg's own program."""

import random
from itertools import count
from pathlib import Path

import pytest

from adreel.cut.plan import AssemblyPlan, ClipFacts, Measures, SegmentPlan
from adreel.cut.render import inspect, render
from tests.cut.measuring import measure_file
from tests.cut.unlike_clips import CLIPS, MORE, Clip

WIDTH, HEIGHT = 160, 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clips(folder: Path) -> dict[str, Path]:
    return {clip.name: clip.write(folder) for clip in [*CLIPS, *MORE]}


class Cutter:
    """Renders each clip once and joins the segments in any order."""

    def __init__(self, folder: Path, clips: dict[str, Path], facts: dict[str, ClipFacts]) -> None:
        self._folder, self._clips, self._facts, self._numbers = folder, clips, facts, count()

    def segment(self, clip: Clip) -> Path:
        return self._folder / f"{clip.name}.mkv"

    async def cut(self, clips: list[Clip], fade_frames: int = 0) -> tuple[Path, Measures]:
        missing = {
            self.segment(clip): SegmentPlan(
                str(self._clips[clip.name]), "", WIDTH, HEIGHT, "crop", self._facts[clip.name].frames
            )
            for clip in clips
            if not self.segment(clip).exists()
        }
        segments = tuple(str(self.segment(clip)) for clip in clips)
        out = self._folder / f"cut-{next(self._numbers)}.mp4"
        plan = AssemblyPlan(WIDTH, HEIGHT, segments, fade_frames, None, 12, None, -14)
        return out, (await render(missing, {out: plan}))[out]


@pytest.fixture(scope="module")
async def facts(clips: dict[str, Path]) -> dict[str, ClipFacts]:
    return dict(zip(clips, await inspect(list(clips.values())), strict=True))


@pytest.fixture(scope="module")
def cutter(folder: Path, clips: dict[str, Path], facts: dict[str, ClipFacts]) -> Cutter:
    return Cutter(folder, clips, facts)


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


@pytest.mark.parametrize("clip", [*CLIPS, *MORE], ids=lambda clip: clip.name)
def test_a_clip_is_measured_as_it_is_shown(clip: Clip, facts: dict[str, ClipFacts]) -> None:
    found = facts[clip.name]
    assert found.frames == clip.frames
    assert found.has_sound == bool(clip.sound)
    assert not found.is_hdr
    assert not found.warnings
    expected = {"1284x716": (1284, 716)}.get(clip.name, (160, 90))
    assert (found.width, found.height) == expected


@pytest.mark.parametrize("seed", range(2))
async def test_unlike_clips_in_any_order(cutter: Cutter, seed: int) -> None:
    order = random.Random(seed).sample(CLIPS, len(CLIPS))  # noqa: S311 - the same orders every time
    out, measures = await cutter.cut(order)
    check(out, measures, sum(clip.frames for clip in order))
