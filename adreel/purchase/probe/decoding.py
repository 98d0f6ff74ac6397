"""Measures and poster of a clip. Runs only in the probe process.

The measures of the usual clip come from its tables: an H.264 track, whose first picture has the structure of one. For
any other clip one picture is decoded.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.stream import VideoStream
from PIL import Image

from adreel.purchase.probe.boxes import find_truncation, is_upright
from adreel.purchase.probe.findings import Findings, Measures
from adreel.purchase.probe.h264 import coded_size, is_key_picture

# The format is explicit: FFmpeg would guess, and some formats (playlists) make it open other files.
FORMAT = "mp4"
MAX_SIDE = 8192
MAX_PIXELS = 8192 * 4320
MAX_FRAMES = 1_000_000
MAX_PICTURE_BYTES = 32 * 1024 * 1024
PLAIN_TAGS = {"avc1", "avc3"}
KEY_PICTURE = 1
"""Flags of an entry of FFmpeg's index: a key picture that is not left out."""
# By default FFmpeg decodes and drops pictures to learn the values that the header has.
BY_ITS_HEADER = {"skip_frame": "all", "max_pixels": str(MAX_PIXELS)}
NO_CLIP = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
MAIN_SHARE = 0.8
"""Share of the longest track that makes the first video track the clip, not a thumbnail."""
POSTER_SIDE = 640
POSTER_SECONDS = 0.5
POSTER_QUALITIES = (80, 60, 40, 20)
MAX_POSTER_BYTES = 45_000
"""A page shows four posters. Only noise needs more at the lowest quality."""
DULL = 32
"""Range of brightness, of 256 levels. A picture with a smaller range is black or fading in."""
MAX_ASPECT = 8
"""Largest plausible aspect ratio of a pixel; larger ones come from a broken header."""


OF_THE_FILE = {errno.ENOENT, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ESTALE}
"""Errors of the machine that say nothing about the clip."""


def inspect_clip(clip: Path) -> Findings:
    """Measure a clip; OSError if the file can't be read."""
    truncation = find_truncation(clip)
    try:
        with _opened(clip) as (container, video):
            size, index = clip.stat().st_size, video.index_entries
            missing = index[-1].pos + index[-1].size - size if len(index) else 0
            if missing > 0:
                truncation = truncation or f"its index names {missing} bytes more than arrived"
            shape, (width, height) = _Shape(_aspect(video), 0), (video.width, video.height)
            if truncation or not _is_plain(clip, video):
                frame = _first_picture(container, video)
                shape, (width, height) = _shape(video, frame), (frame.width, frame.height)
            measures = Measures(_duration(container, video, size), *shape.shown(width, height))
            return Findings(measures, truncation=truncation)
    except _Unplayable as found:
        return Findings(reason=str(found), truncation=truncation)


def draw_poster(clip: Path, poster: Path) -> str:
    """Write one picture of a clip as a JPEG. Returns why that is impossible, or nothing."""
    try:
        with _opened(clip) as (container, video):
            frame = _first_picture(container, video)
            _save_poster(poster, container, video, frame, _shape(video, frame))
            return ""
    except _Unplayable as found:
        return str(found)


class _Unplayable(Exception):
    """Why a file is not a playable MP4."""


@contextmanager
def _opened(clip: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a clip and choose its video track. Raises _Unplayable, in the body as well, or OSError of the machine."""
    try:
        with av.open(str(clip), format=FORMAT, options=BY_ITS_HEADER) as container:
            streams = [stream for stream in container.streams.video if not stream.disposition & NO_CLIP]
            streams = [stream for stream in streams or container.streams.video if stream.codec_context is not None]
            if not streams:
                raise _Unplayable("its codec is unknown" if container.streams.video else "it has no video in it")
            longest = max(map(_promised, streams))
            video = next(stream for stream in streams if _promised(stream) >= longest * MAIN_SHARE)
            width, height = video.width, video.height
            if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
                raise _Unplayable(f"its header says {width}x{height} pixels, more than adreel decodes")
            if video.frames > MAX_FRAMES:
                raise _Unplayable(f"its header says {video.frames} frames, more than adreel decodes")
            yield container, video
    except (FFmpegError, MemoryError, ValueError, ArithmeticError) as error:
        if isinstance(error, OSError) and error.errno in OF_THE_FILE:
            raise
        # The text of FFmpeg's own errors names the temporary file.
        reason = (error.strerror if isinstance(error, FFmpegError) else str(error)) or type(error).__name__
        raise _Unplayable(f"it can't be decoded: {reason}") from error


def _is_plain(clip: Path, video: VideoStream) -> bool:
    """Whether the tables alone tell how the clip is shown, and its first picture has the structure of one."""
    codec, index = video.codec_context, video.index_entries
    if codec.codec_tag not in PLAIN_TAGS or not codec.extradata or len(index) != video.frames:
        return False
    first = index[0] if len(index) else None
    # An edit list may leave out the first picture.
    if first is None or first.flags != KEY_PICTURE or not 0 < first.size <= MAX_PICTURE_BYTES:
        return False
    if coded_size(codec.extradata) != (video.width, video.height) or not is_upright(clip):
        return False
    with clip.open("rb") as stream:
        stream.seek(first.pos)
        return is_key_picture(codec.extradata, stream.read(first.size))


@dataclass(frozen=True)
class _Shape:
    """Display of the pixels: their aspect ratio, and the number of quarter turns to the left."""

    aspect: Fraction
    turns: int

    def shown(self, width: int, height: int) -> tuple[int, int]:
        """Return the size on the screen."""
        width = max(1, round(width * self.aspect))
        return (height, width) if self.turns % 2 else (width, height)

    def poster(self, frame: av.VideoFrame) -> Image.Image:
        """Return a small, upright picture."""
        shown_width = max(1, round(frame.width * self.aspect))
        scale = min(1.0, POSTER_SIDE / max(shown_width, frame.height))
        width, height = max(1, round(shown_width * scale)), max(1, round(frame.height * scale))
        # The picture is scaled first: converting all pixels to RGB would cost twice as much.
        small = frame.reformat(width=width, height=height, interpolation="FAST_BILINEAR")
        plane = small.reformat(format="rgb24").planes[0]
        picture = Image.frombuffer("RGB", (width, height), bytes(plane), "raw", "RGB", plane.line_size, 1)
        return picture.rotate(90 * self.turns, expand=True) if self.turns else picture


def _aspect(video: VideoStream) -> Fraction:
    aspect = video.sample_aspect_ratio or Fraction(1)
    return aspect if Fraction(1, MAX_ASPECT) <= aspect <= MAX_ASPECT else Fraction(1)


def _shape(video: VideoStream, frame: av.VideoFrame) -> _Shape:
    return _Shape(_aspect(video), round(frame.rotation / 90) % 4)


def _first_picture(container: InputContainer, video: VideoStream) -> av.VideoFrame:
    # Each decoded picture costs milliseconds. One is enough for most clips, and more threads cost more.
    video.thread_type = "NONE"
    # The size of the pictures may differ from the header.
    video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    # An edit list may skip the only key picture. Then all pictures have to be decoded.
    for skipped in ("NONKEY", "DEFAULT"):
        video.codec_context.skip_frame = skipped
        if frame := next(_pictures(container, video), None):
            return frame
    raise _Unplayable("no picture of it can be decoded")


def _pictures(container: InputContainer, video: VideoStream) -> Iterator[av.VideoFrame]:
    container.seek(0)
    for packet in container.demux(video):
        # One broken picture does not make a clip undecodable.
        with suppress(InvalidDataError):
            yield from (frame for frame in video.decode(packet) if not frame.is_corrupt)


def _save_poster(
    poster: Path, container: InputContainer, video: VideoStream, first: av.VideoFrame, shape: _Shape
) -> None:
    picture = shape.poster(first)
    if sum(map(bool, picture.convert("L").histogram())) < DULL:
        video.codec_context.skip_frame = "NONREF"
        moment = min((container.duration or 0) / av.time_base / 3, POSTER_SECONDS)
        later = (frame for frame in _pictures(container, video) if (frame.time or 0) >= moment)
        picture = shape.poster(next(later, first))
    for quality in POSTER_QUALITIES:
        encoded = BytesIO()
        picture.save(encoded, "JPEG", quality=quality)
        if encoded.tell() <= MAX_POSTER_BYTES:
            break
    poster.write_bytes(encoded.getvalue())


def _duration(container: InputContainer, video: VideoStream, size: int) -> float:
    index = video.index_entries
    is_whole = len(index) == video.frames > 0 and index[-1].pos + index[-1].size <= size
    # A complete index is free to read; reading the packets costs a millisecond.
    if is_whole and video.duration and _seconds(video, index[-1].timestamp) >= _promised(video) - 1:
        return _promised(video)
    end = 0
    container.seek(0)
    # The header of a truncated clip still has its full length, so only received pictures count.
    with suppress(FFmpegError):
        for packet in container.demux(video):
            if packet.pts is not None and packet.size:
                end = max(end, packet.pts + (packet.duration or 0))
    return _seconds(video, end)


def _promised(video: VideoStream) -> float:
    return _seconds(video, video.duration or 0)


def _seconds(video: VideoStream, ticks: int) -> float:
    return max(0.0, float(ticks * (video.time_base or 0)))
