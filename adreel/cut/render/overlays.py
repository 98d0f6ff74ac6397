"""Pictures that are drawn on the frames of a segment: captions and the logo."""

from dataclasses import dataclass

from av.video.frame import VideoFrame

from adreel.cut.plan import SegmentPlan


@dataclass(frozen=True, eq=False)
class Overlay:
    """A picture with straight alpha, its place, and the frames that show it."""

    picture: VideoFrame
    left: int
    top: int
    start: int
    end: int


def overlays_of(plan: SegmentPlan) -> list[Overlay]:
    """Return what is drawn on the frames of a segment."""
    return []
