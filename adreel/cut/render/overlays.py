"""Pictures that are drawn on the frames of a segment: captions and the logo."""

from dataclasses import dataclass
from fractions import Fraction

from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from PIL import Image

from adreel.cut.plan import RATE, SegmentPlan
from adreel.cut.render.captions import drawn_captions
from adreel.cut.render.logo import area_above, placed_logo


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
    found: list[Overlay] = []
    if (area := plan.safe_area) is None:
        return found
    if plan.logo is not None:
        logo, left, top = placed_logo(plan.logo, plan.logo_corner, plan.width, plan.height, area)
        found.append(Overlay(video_picture(logo), left, top, 0, plan.frames))
        area = area_above(area, plan.logo_corner, plan.height, top)
    for drawn in drawn_captions(plan.captions, area, plan.caption_style):
        found.append(Overlay(video_picture(drawn.picture), drawn.left, drawn.top, drawn.start, drawn.end))
    return found


def video_picture(picture: Image.Image) -> VideoFrame:
    """Return a picture in the colours of the film, with straight alpha if it has any."""
    has_alpha = picture.mode == "RGBA"
    frame = VideoFrame(picture.width, picture.height, "rgba")
    plane = frame.planes[0]
    row = picture.width * 4
    content = picture.convert("RGBA").tobytes()
    lines = (content[start : start + row].ljust(plane.line_size, b"\0") for start in range(0, len(content), row))
    plane.update(b"".join(lines).ljust(plane.buffer_size, b"\0"))
    graph = Graph()
    names = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=VideoFormat("rgba"), time_base=Fraction(1, RATE)
        ),
        graph.add("scale", "out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int"),
        graph.add("format", "yuva420p" if has_alpha else "yuv420p"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*names).configure()
    frame.pts = 0
    graph.push(frame)
    return graph.vpull()
