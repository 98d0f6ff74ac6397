"""Looks into a clip: does it open, what does it measure, what picture stands for it."""

import ctypes
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from PIL import Image

from adreel.errors import ClipUnavailable

# Said outright: FFmpeg would guess, and some formats (playlists) make it open other files.
FORMAT = "mp4"
# To open a clip, FFmpeg would decode pictures of it, and forget them, only to learn what the header says.
BY_ITS_HEADER = {"skip_frame": "all"}
POSTER_SIDE = 640
POSTER_SECONDS = 0.5
DULL = 32
"""Of 256 levels of brightness: a picture with fewer is black, or about to fade in."""
PIECE = 1024 * 1024
TOLERANCE_SECONDS = 0.5
TOLERANCE_SHARE = 0.05
CUT_SECONDS = 0.2
# The names are those of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Measures:
    """What a clip is like; `duration` in seconds."""

    duration: float
    width: int
    height: int


def measure(clip: Path, poster: Path | None = None) -> Measures:
    """Open a clip, decode a picture of it and write that as a JPEG, if wanted; ClipUnavailable if it is no video."""
    try:
        with av.open(str(clip), format=FORMAT, options=BY_ITS_HEADER) as container:
            if not container.streams.video:
                raise ClipUnavailable("what arrived has no video in it")
            video = container.streams.video[0]
            picture = _picture(container, video)
            promised = _seconds(video, video.duration or 0)
            seconds = promised if _is_whole(video, clip.stat().st_size, promised) else _last_moment(container, video)
            if seconds < promised - CUT_SECONDS:
                raise ClipUnavailable(f"what arrived is cut off after {seconds:.2f} of {promised:.2f} s")
            measures = Measures(seconds, video.width, video.height)
    except (FFmpegError, StopIteration, ValueError) as error:
        raise ClipUnavailable(f"what arrived is no playable video: {error}") from error
    if poster:
        picture.save(poster, "JPEG", quality=80)
    return measures


def _picture(container: InputContainer, video: VideoStream) -> Image.Image:
    """Return a small picture from the beginning of a clip: the first, or a later one if that shows nothing."""
    # Every picture that is decoded costs milliseconds: one is enough for most clips, and more threads cost more.
    video.thread_type = "NONE"
    video.codec_context.skip_frame = "NONKEY"
    picture = _small(next(container.decode(video)))
    if sum(map(bool, picture.convert("L").histogram())) >= DULL:
        return picture
    video.codec_context.skip_frame = "NONREF"
    container.seek(0)
    moment = min((container.duration or 0) / av.time_base / 3, POSTER_SECONDS)
    for frame in container.decode(video):
        if (frame.time or 0) >= moment:
            return _small(frame)
    return picture


def _small(frame: av.VideoFrame) -> Image.Image:
    scale = min(1.0, POSTER_SIDE / max(frame.width, frame.height))
    width, height = round(frame.width * scale), round(frame.height * scale)
    # Made smaller first: to bring all pixels to RGB would cost twice as much.
    small = frame.reformat(width=width, height=height, interpolation="FAST_BILINEAR")
    plane = small.reformat(format="rgb24").planes[0]
    return Image.frombuffer("RGB", (width, height), bytes(plane), "raw", "RGB", plane.line_size, 1)


def _is_whole(video: VideoStream, size: int, promised: float) -> bool:
    # To ask the index, if it is of all pictures, costs nothing; to read them costs a millisecond.
    index = video.index_entries
    if not len(index) == video.frames > 0:
        return False
    last = index[-1]
    return last.pos + last.size <= size and _seconds(video, last.timestamp) >= promised - CUT_SECONDS


def _last_moment(container: InputContainer, video: VideoStream) -> float:
    # The header of a clip cut short still promises its whole length: only the pictures that came count.
    container.seek(0)
    packets = container.demux(video)
    ends = [packet.pts + (packet.duration or 0) for packet in packets if packet.pts is not None and packet.size]
    return _seconds(video, max(ends, default=0))


def _seconds(video: VideoStream, ticks: int) -> float:
    return float(ticks * (video.time_base or 0))


def keep_memory() -> None:
    """Have this process keep the memory of the last clip for the next: for those who look into thousands.

    glibc hands pieces of that size back to the system: a quarter of the processor went into getting them again.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)


def check_duration(measured: Measures, asked: float) -> None:
    """Raise ClipUnavailable if a clip is clearly shorter than asked; providers round, so there is a tolerance."""
    shortest = asked - max(TOLERANCE_SECONDS, asked * TOLERANCE_SHARE)
    if measured.duration < shortest:
        raise ClipUnavailable(
            f"the clip lasts {measured.duration:.2f} s, but {asked:g} s were asked for:"
            " it is not kept; regenerate the scene to buy another"
        )


def sha256_of(stream: BinaryIO) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    while piece := stream.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()
