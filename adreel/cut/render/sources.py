"""Reading of clips and sounds: pictures at a constant rate, float stereo samples, and what a clip is like."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream
from av.buffer import Buffer
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from adreel.cut.plan import RATE, SAMPLE_RATE, SAMPLES_PER_FRAME, ClipFacts
from adreel.cut.render.samples import SAMPLE_BYTES, active_stretches, pull_sound
from adreel.cut.render.threads import DECODER_THREADS
from adreel.errors import InputError

# The formats are listed: FFmpeg would guess, and some formats (playlists) make it open other files.
FILMS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
SOUNDS = f"{FILMS},wav,mp3,flac,ogg,aac,aiff"
NO_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
ENCODER_DELAY = 0.05
"""Seconds by which sound may start before the picture without a meaning: padding of its encoder."""
LATEST = 0.3
"""Share of a frame by which a picture may start after its frame. No usual rate has times near this border, so rounded
times make no uneven motion."""
MAX_ASPECT = 8
HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics, as numbered by ITU-T H.273."""


def open_media(path: Path | str, formats: str = FILMS) -> InputContainer:
    """Open a local file of one of the formats."""
    return av.open(str(path), options={"format_whitelist": formats, "protocol_whitelist": "file"})


def picture_stream(source: InputContainer) -> VideoStream:
    """Return the first video stream that is no cover art."""
    streams = [each for each in source.streams.video if each.codec_context is not None]
    if not streams:
        raise InvalidDataError(0, "it has no video in it")
    return next((each for each in streams if not each.disposition & NO_PICTURES), streams[0])


def sound_stream(source: InputContainer) -> AudioStream | None:
    """Return the first audio stream that can be decoded."""
    return next((each for each in source.streams.audio if each.codec_context is not None), None)


@dataclass(frozen=True)
class Display:
    """How decoded pixels are shown: the filters that turn them upright, and the aspect ratio of a pixel."""

    aspect: Fraction
    turn: tuple[tuple[str, str], ...]
    is_sideways: bool

    def size(self, width: int, height: int) -> tuple[float, float]:
        """Return the upright size in square pixels."""
        aspect = float(self.aspect)
        wide, high = width * max(aspect, 1.0), height / min(aspect, 1.0)
        return (high, wide) if self.is_sideways else (wide, high)


@dataclass(frozen=True)
class PictureTags:
    """Facts of a video stream, copied while the file is open: closing it frees the stream's memory."""

    aspect: Fraction | None
    """Aspect ratio of a pixel."""
    transfer: int
    """Transfer characteristic, as numbered by ITU-T H.273."""

    @classmethod
    def of(cls, stream: VideoStream) -> "PictureTags":
        """Read the tags of a stream whose file is open."""
        return cls(stream.sample_aspect_ratio, stream.color_trc)


def display_of(tags: PictureTags, frame: VideoFrame) -> Display:
    """Return how a decoded picture has to be shown."""
    aspect = tags.aspect or Fraction(1)
    if not Fraction(1, MAX_ASPECT) <= aspect <= MAX_ASPECT:
        aspect = Fraction(1)
    turn: list[tuple[str, str]] = []
    quarters = 0
    # The stubs describe only other keys, and the mapping can't be iterated.
    data = cast(Mapping[SideDataType, Buffer], frame.side_data).get(SideDataType.DISPLAYMATRIX)
    if data is not None:
        matrix = memoryview(bytes(data)).cast("i")
        # The same decisions as those of the ffmpeg command.
        quarters = round(-frame.rotation / 90) % 4
        if quarters == 1:
            turn.append(("transpose", "cclock_flip" if matrix[3] > 0 else "clock"))
        elif quarters == 3:
            turn.append(("transpose", "clock_flip" if matrix[3] < 0 else "cclock"))
        elif quarters == 2:
            turn += [("hflip", "")] * (matrix[0] < 0) + [("vflip", "")] * (matrix[4] < 0)
        elif matrix[4] < 0:
            turn.append(("vflip", ""))
    return Display(aspect, tuple(turn), bool(quarters % 2))


@dataclass(frozen=True)
class _Span:
    """The time of a clip in seconds: its zero and the end of its last picture."""

    zero: float
    end: float

    @property
    def frames(self) -> int:
        return max(1, round((self.end - self.zero) * RATE))


def _span(source: InputContainer, video: VideoStream, sound: AudioStream | None) -> _Span:
    start, end = None, 0.0
    usual = 1 / float(video.average_rate or RATE)
    for packet in source.demux(video):
        # Packets that an edit list hides are not shown.
        if packet.pts is None or not packet.size or packet.is_discard:
            continue
        time = float(packet.pts * packet.time_base)
        start = time if start is None else min(start, time)
        end = max(end, time + (float(packet.duration * packet.time_base) if packet.duration else usual))
    source.seek(0)
    if start is None:
        raise InvalidDataError(0, "it has no picture in it")
    if sound is not None and sound.start_time is not None and sound.time_base is not None:
        begins = max(0.0, float(sound.start_time * sound.time_base))
        if begins < start - ENCODER_DELAY:
            return _Span(begins, end)
    return _Span(start, end)


def read_clip(path: Path | str) -> tuple[PictureTags, Generator[tuple[float, VideoFrame]], _Span]:
    """Return the tags of a clip's pictures, the decoded pictures with their times, and its span."""
    source = open_media(path)
    video = picture_stream(source)
    tags = PictureTags.of(video)
    span = _span(source, video, sound_stream(source))
    video.thread_type = "AUTO"
    video.codec_context.thread_count = DECODER_THREADS

    def pictures() -> Generator[tuple[float, VideoFrame]]:
        with source:
            time = span.zero
            for packet in source.demux(video):
                # One broken picture does not end a clip: the picture before it stands.
                with suppress(InvalidDataError):
                    for frame in video.decode(packet):
                        time = frame.time if frame.pts is not None else time
                        if not frame.is_corrupt:
                            yield time - span.zero, frame

    return tags, pictures(), span


def steady(pictures: Iterator[tuple[float, VideoFrame]], frames: int) -> Iterator[VideoFrame]:
    """Yield exactly `frames` pictures at the constant rate.

    A picture stands until the next one starts, the first from the beginning and the last to the end. A repeated
    picture is the same object.
    """
    done = 0
    shown = None
    for time, picture in pictures:
        starts = ceil(time * RATE - LATEST)
        while shown is not None and done < min(starts, frames):
            yield shown
            done += 1
        if done == frames:
            return
        shown = picture
    if shown is None:
        raise InvalidDataError(0, "no picture of it can be decoded")
    for _ in range(done, frames):
        yield shown


def clip_samples(path: Path | str, frames: int) -> bytes:
    """Return a clip's sound as float stereo samples of exactly the length of `frames` pictures.

    Silence stands for missing sound, also where it starts late or ends early.
    """
    wanted = frames * SAMPLES_PER_FRAME
    with open_media(path) as source:
        sound = sound_stream(source)
        if sound is None:
            return bytes(wanted * SAMPLE_BYTES)
        zero = _span(source, picture_stream(source), sound).zero
        return _decoded(source, sound, wanted, zero).ljust(wanted * SAMPLE_BYTES, b"\0")


def file_samples(path: Path | str, longest: int) -> bytes:
    """Return at most `longest` float stereo samples of a sound file; InputError if it can't be read."""
    try:
        with open_media(path, SOUNDS) as source:
            sound = sound_stream(source)
            found = b"" if sound is None else _decoded(source, sound, longest, 0.0)
    except (FFmpegError, ValueError) as error:
        raise InputError(f"the sound can't be read: {reason(error)}") from error
    if not found:
        raise InputError("there is no sound in it")
    return found


def _decoded(source: InputContainer, sound: AudioStream, wanted: int, zero: float) -> bytes:
    found = bytearray()
    graph: Graph | None = None
    shape: tuple[object, ...] = ()
    for packet in source.demux(sound):
        frames = []
        with suppress(InvalidDataError):
            frames = sound.decode(packet)
        for frame in frames:
            if graph is None or shape != (frame.format.name, frame.layout.name, frame.sample_rate):
                found += pull_sound(graph, None) if graph is not None else b""
                shape = (frame.format.name, frame.layout.name, frame.sample_rate)
                played = len(found) // SAMPLE_BYTES
                graph = _to_stereo(sound, frame, round(zero * SAMPLE_RATE) + played)
            found += pull_sound(graph, frame)
        if len(found) >= wanted * SAMPLE_BYTES:
            break
    if graph is not None and len(found) < wanted * SAMPLE_BYTES:
        found += pull_sound(graph, None)
    return bytes(found[: wanted * SAMPLE_BYTES])


def _to_stereo(sound: AudioStream, frame: av.AudioFrame, first: int) -> Graph:
    graph = Graph()
    layout = frame.layout.name
    if "channel" in layout or not layout:
        # A file that does not name its loudspeakers: one is mono, more are taken as the usual order.
        layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(frame.layout.nb_channels, layout)
    time_base = frame.time_base or sound.time_base
    source = graph.add(
        "abuffer",
        f"sample_rate={frame.sample_rate}:sample_fmt={frame.format.name}:channel_layout={layout}:time_base={time_base}",
    )
    # `async` fills gaps with silence, and `first_pts` brings the beginning to zero.
    names = [
        source,
        graph.add("aresample", f"{SAMPLE_RATE}:async=1:first_pts={first}"),
        graph.add("aformat", f"sample_fmts=flt:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*names).configure()
    return graph


def active_frames(samples: bytes, frames: int) -> list[tuple[int, int]]:
    """Return the stretches between pauses, each as its first frame and the first frame behind it."""
    return [
        (start // SAMPLES_PER_FRAME, min(frames, -(-end // SAMPLES_PER_FRAME)))
        for start, end in active_stretches(samples)
    ]


def inspect_clip(path: Path | str) -> ClipFacts:
    """Measure a clip by its packets, its first picture and its sound; InputError if it can't be read."""
    try:
        tags, pictures, span = read_clip(path)
        _, first = next(pictures, (0.0, None))
        pictures.close()
    except (FFmpegError, ValueError, ArithmeticError) as error:
        raise InputError(f"the clip can't be read: {reason(error)}") from error
    if first is None:
        raise InputError("the clip can't be read: no picture of it can be decoded")
    width, height = display_of(tags, first).size(first.width, first.height)
    if transfer := HDR.get(first.color_trc) or HDR.get(tags.transfer):
        # FFmpeg's wheels can't convert it, and as SDR it looks grey.
        raise InputError(f"the clip is HDR ({transfer}): convert it to SDR, or generate the scene again")
    warnings = []
    spoken: list[tuple[int, int]] = []
    with open_media(path) as source:
        has_sound = sound_stream(source) is not None
    if has_sound:
        try:
            spoken = active_frames(clip_samples(path, span.frames), span.frames)
        except (FFmpegError, ValueError) as error:
            has_sound = False
            warnings.append(f"its sound can't be decoded and is left out: {reason(error)}")
    return ClipFacts(span.frames, round(width), round(height), has_sound, tuple(spoken), tuple(warnings))


def reason(error: BaseException) -> str:
    """Return an error's text without the name of the temporary file that FFmpeg adds."""
    if isinstance(error, ArgumentError):
        # FFmpeg calls a format that is not in the list an invalid argument.
        return "it is in no format that adreel reads"
    text = error.strerror if isinstance(error, FFmpegError) else str(error)
    return cast(str, text) or type(error).__name__
