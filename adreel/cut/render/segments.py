"""One clip as a segment: constant size, frame rate and length, so that segments join without another encoding."""

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

RATE = 30
SAMPLE_RATE = 48000
SAMPLES_PER_FRAME = SAMPLE_RATE // RATE
ENCODER = {
    "preset": "veryfast",
    "crf": "19",
    "maxrate": "12M",
    "bufsize": "24M",
    "profile": "high",
    # Closed groups of pictures: a segment decodes without its neighbours.
    "x264-params": "open-gop=0:keyint=60:scenecut=40",
}


@dataclass(frozen=True)
class Shape:
    width: int
    height: int
    fit: str = "crop"


def video_frames(clip: Path, shape: Shape, frames: int) -> Iterator[VideoFrame]:
    """Yield exactly `frames` pictures of a clip at the constant rate: its last one stands if it is too short."""
    with av.open(str(clip)) as source:
        stream = _picture_stream(source)
        stream.thread_type = "AUTO"
        graph = _video_graph(stream, shape, frames)
        done, is_open = 0, True
        decoded = source.decode(stream)
        while is_open:
            frame = next(decoded, None)
            try:
                graph.push(frame)
            except (av.EOFError, av.BlockingIOError):
                is_open = False
            is_open &= frame is not None
            for made in _pull(graph):
                if done == frames:
                    return
                done += 1
                yield made


def _picture_stream(source):
    streams = [each for each in source.streams.video if not each.disposition.value & 0x400]
    return (streams or source.streams.video)[0]


def _video_graph(stream, shape: Shape, frames: int) -> Graph:
    graph = Graph()
    w, h = shape.width, shape.height
    scale = f"scale={w}:{h}:force_original_aspect_ratio=increase:flags=bicubic"
    names = [
        graph.add_buffer(template=stream),
        # Anamorphic pixels become square before the crop, or the picture would be squeezed.
        graph.add("scale", "iw*max(1\\,sar):ih*max(1\\,1/sar)"),
        graph.add("setsar", "1"),
        graph.add("scale", f"{w}:{h}:force_original_aspect_ratio=increase:out_color_matrix=bt709:out_range=tv"),
        graph.add("crop", f"{w}:{h}"),
        graph.add("fps", f"{RATE}:start_time=0"),
        graph.add("tpad", f"stop_mode=clone:stop={frames}"),
        graph.add("trim", f"end_frame={frames}"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    for first, second in zip(names, names[1:], strict=False):
        first.link_to(second)
    graph.configure()
    return graph


def _pull(graph):
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def encode_video(frames: Iterator[VideoFrame], shape: Shape, out: Path) -> int:
    count = 0
    with av.open(str(out), "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=RATE, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        stream.codec_context.color_primaries = stream.codec_context.color_trc = stream.codec_context.colorspace = 1
        stream.codec_context.color_range = ColorRange.MPEG
        for frame in frames:
            frame.pict_type = 0
            frame.pts, frame.time_base = count, Fraction(1, RATE)
            count += 1
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return count


def audio_samples(clip: Path, frames: int) -> bytes:
    """Return stereo float samples of exactly the length of `frames` pictures; silence where there is no sound."""
    wanted = frames * SAMPLES_PER_FRAME
    found = bytearray()
    with av.open(str(clip)) as source:
        if source.streams.audio:
            stream = source.streams.audio[0]
            video_start = float((_picture_stream(source).start_time or 0) * _picture_stream(source).time_base)
            graph = Graph()
            names = [
                graph.add_abuffer(template=stream),
                graph.add("aresample", f"{SAMPLE_RATE}:async=1:first_pts={round(video_start * SAMPLE_RATE)}"),
                graph.add("aformat", f"sample_fmts=flt:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"),
                graph.add("abuffersink"),
            ]
            for first, second in zip(names, names[1:], strict=False):
                first.link_to(second)
            graph.configure()
            for frame in source.decode(stream):
                graph.push(frame)
                for made in _pull(graph):
                    found += bytes(made.planes[0])[: made.samples * 8]
                if len(found) >= wanted * 8:
                    break
            else:
                graph.push(None)
                for made in _pull(graph):
                    found += bytes(made.planes[0])[: made.samples * 8]
    return bytes(found[: wanted * 8]).ljust(wanted * 8, b"\0")
