"""One clip as a segment: constant size, frame rate and length, so that segments join without another encoding."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from adreel.cut.plan import RATE, SAMPLE_RATE, SAMPLES_PER_FRAME, SegmentPlan
from adreel.cut.render.overlays import Overlay, overlays_of
from adreel.cut.render.samples import SAMPLE_BYTES, samples_of, sound_frame
from adreel.cut.render.sources import Display, PictureTags, clip_samples, display_of, open_media, read_clip, steady
from adreel.cut.render.threads import ENCODER_THREADS, FILTER_THREADS

TICK = Fraction(1, RATE)
FORMAT = "yuv420p"
ENCODER = {
    "preset": "veryfast",
    "crf": "19",
    "maxrate": "12M",
    "bufsize": "24M",
    "profile": "high",
    # Closed groups of pictures: a segment decodes without its neighbours.
    "x264-params": "open-gop=0:keyint=60:scenecut=40",
}
BT709, BT2020 = 1, 9
"""Numbers of ITU-T H.273, for primaries, transfer and matrix alike."""
MATRICES = {BT709: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", BT2020: "bt2020", 10: "bt2020"}
BLUR_SCALE = 4
"""A blurred background needs no detail. Blurring a small picture costs a sixteenth."""


def render_segment(plan: SegmentPlan, out: Path, report: Callable[[int], None] = lambda _: None) -> None:
    """Render one clip as Matroska with H.264 and float samples. `report` gets the number of frames done."""
    samples = clip_samples(plan.clip, plan.frames)
    tags, pictures, _ = read_clip(plan.clip)
    composer = _Composer(plan, tags)

    def frames() -> Iterator[VideoFrame]:
        for number, picture in enumerate(steady(pictures, plan.frames)):
            yield composer.compose(picture, number)
            report(number + 1)

    write_segment(frames(), samples, plan.width, plan.height, out)


def write_segment(frames: Iterator[VideoFrame], samples: bytes, width: int, height: int, out: Path) -> None:
    """Encode pictures and the samples that belong to them."""
    # Matroska would get a random number: equal plans make equal files.
    with av.open(str(out), "w", format="matroska", options={"fflags": "+bitexact"}) as target:
        video = target.add_stream("libx264", rate=RATE, options=ENCODER)
        video.width, video.height, video.pix_fmt = width, height, FORMAT
        context = video.codec_context
        context.time_base, context.thread_count = TICK, ENCODER_THREADS
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = ColorRange.MPEG
        sound = target.add_stream("pcm_f32le", rate=SAMPLE_RATE, layout="stereo")
        for number, frame in enumerate(frames):
            # Decoded pictures remember their type, and would force key pictures.
            frame.pict_type = 0
            frame.pts, frame.time_base = number, TICK
            target.mux(video.encode(frame))
            start = number * SAMPLES_PER_FRAME
            block = samples[start * SAMPLE_BYTES : (start + SAMPLES_PER_FRAME) * SAMPLE_BYTES]
            target.mux(sound.encode(sound_frame(block, start)))
        target.mux(video.encode(None))
        target.mux(sound.encode(None))


def segment_samples(segment: Path | str) -> bytes:
    """Return the sound of a segment."""
    with open_media(segment) as source:
        return b"".join(samples_of(frame) for frame in source.decode(source.streams.audio[0]))


def segment_frames(segment: Path | str) -> Iterator[VideoFrame]:
    """Yield the decoded pictures of a segment."""
    _, pictures, _ = read_clip(segment)
    return (frame for _, frame in pictures)


@dataclass(frozen=True)
class _Look:
    """Everything that the filters of a picture depend on."""

    width: int
    height: int
    format: str
    matrix: str
    is_full_range: bool
    display: Display
    overlays: tuple[Overlay, ...]


class _Composer:
    """Brings the pictures of a clip to the size of a segment and draws on them.

    The filters take one picture at a time and are made anew when the picture's kind or the caption changes.
    """

    def __init__(self, plan: SegmentPlan, tags: PictureTags) -> None:
        self._plan, self._tags = plan, tags
        self._overlays = overlays_of(plan)
        self._display: Display | None = None
        self._look: _Look | None = None
        self._graph = Graph()
        self._source: FilterContext | None = None
        self._last: tuple[VideoFrame, VideoFrame] | None = None

    def compose(self, picture: VideoFrame, number: int) -> VideoFrame:
        """Return a picture as the frame of this number."""
        # Once only: a picture whose side data was read lives until the garbage collector comes.
        self._display = self._display or display_of(self._tags, picture)
        # Players take untagged pictures of this size as HD.
        untagged = "bt709" if picture.width >= 1280 or picture.height > 576 else "smpte170m"
        look = _Look(
            picture.width,
            picture.height,
            picture.format.name,
            MATRICES.get(picture.colorspace, untagged),
            picture.color_range == ColorRange.JPEG or picture.format.name.startswith("yuvj"),
            self._display,
            tuple(each for each in self._overlays if each.start <= number < each.end),
        )
        if look != self._look:
            self._look, self._last = look, None
            self._graph = Graph()
            self._source = _describe(self._graph, look, self._plan)
        if self._last is None or self._last[0] is not picture:
            picture.pts, picture.time_base = number, TICK
            assert self._source is not None  # noqa: S101 - for the type
            self._source.push(picture)
            self._last = (picture, cast(VideoFrame, self._graph.pull()))
        return self._last[1]


def _describe(graph: Graph, look: _Look, plan: SegmentPlan) -> FilterContext:
    """Build the filters from a decoded picture to a frame, and return their source."""
    graph.threads = FILTER_THREADS
    source = _buffer(graph, look.width, look.height, look.format)
    upright = _chain(graph, source, look.display.turn)
    width, height = plan.width, plan.height
    shown = look.display.size(look.width, look.height)
    colors = (
        f"in_color_matrix={look.matrix}:in_range={'pc' if look.is_full_range else 'tv'}"
        ":out_color_matrix=bt709:out_range=tv:flags=bicubic"
    )
    cover = _scaled(shown, max(width / shown[0], height / shown[1]), (width, height))
    whole = _scaled(shown, min(width / shown[0], height / shown[1]), (2, 2))
    if plan.fit == "blur" and (whole[0] < width - 1 or whole[1] < height - 1):
        split = _chain(graph, upright, [("split", "2")])
        small = (_even(width / BLUR_SCALE), _even(height / BLUR_SCALE))
        behind = _scaled(shown, max(small[0] / shown[0], small[1] / shown[1]), small)
        back = graph.add("scale", f"{behind[0]}:{behind[1]}:{colors}")
        split.link_to(back, 0)
        back = _chain(
            graph,
            back,
            [
                ("format", FORMAT),
                ("crop", f"{small[0]}:{small[1]}"),
                ("gblur", f"sigma={max(1.0, small[1] / 16):.1f}"),
                ("scale", f"{width}:{height}:flags=bilinear"),
            ],
        )
        front = graph.add("scale", f"{min(whole[0], width)}:{min(whole[1], height)}:{colors}")
        split.link_to(front, 1)
        front = _chain(graph, front, [("format", FORMAT)])
        last = graph.add("overlay", "x=(W-w)/2:y=(H-h)/2:format=yuv420")
        back.link_to(last, 0, 0)
        front.link_to(last, 0, 1)
    else:
        scale = ("scale", f"{cover[0]}:{cover[1]}:{colors}")
        last = _chain(graph, upright, [scale, ("format", FORMAT), ("crop", f"{width}:{height}")])
    drawn = []
    for each in look.overlays:
        picture = _buffer(graph, each.picture.width, each.picture.height, each.picture.format.name)
        over = graph.add("overlay", f"x={each.left}:y={each.top}:format=yuv420:eof_action=repeat")
        last.link_to(over, 0, 0)
        picture.link_to(over, 0, 1)
        drawn.append((picture, each.picture))
        last = over
    last.link_to(graph.add("buffersink"))
    graph.configure()
    for picture, frame in drawn:
        frame.pts, frame.time_base = 0, TICK
        picture.push(frame)
        picture.push(None)
    return source


def _buffer(graph: Graph, width: int, height: int, format_name: str) -> FilterContext:
    return graph.add_buffer(width=width, height=height, format=VideoFormat(format_name), time_base=TICK)


def _chain(graph: Graph, first: FilterContext, filters: Sequence[tuple[str, str]]) -> FilterContext:
    for name, arguments in filters:
        made = graph.add(name, arguments)
        first.link_to(made)
        first = made
    return first


def _scaled(shown: tuple[float, float], factor: float, least: tuple[int, int]) -> tuple[int, int]:
    return max(least[0], _even(shown[0] * factor)), max(least[1], _even(shown[1] * factor))


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
