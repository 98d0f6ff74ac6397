"""Renders tiny films: each clip once, and any number of finished files of the segments."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from adreel.cut.plan import AssemblyPlan, Measures, SegmentPlan
from adreel.cut.render.process import render
from tests.cut.unlike_clips import Clip

WIDTH, HEIGHT = 160, 90
PLAN = AssemblyPlan(WIDTH, HEIGHT, (), 0, None, 12, None, -14)


class Cutter:
    """Keeps clips and their segments in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._numbers = folder, count()

    def clip(self, clip: Clip) -> Path:
        path = self.folder / f"{clip.name}.mp4"
        return path if path.exists() else clip.write(self.folder)

    def segment(self, clip: Clip) -> Path:
        return self.folder / f"{clip.name}.mkv"

    async def cut(self, clips: Sequence[Clip], **changes: Any) -> tuple[Path, Measures]:
        """Return a finished file of clips and its measures."""
        missing = {
            self.segment(clip): SegmentPlan(str(self.clip(clip)), "", WIDTH, HEIGHT, "crop", clip.frames)
            for clip in clips
            if not self.segment(clip).exists()
        }
        out = self.folder / f"cut-{next(self._numbers)}.mp4"
        plan = replace(PLAN, segments=tuple(str(self.segment(clip)) for clip in clips), **changes)
        return out, (await render(missing, {out: plan}))[out]
