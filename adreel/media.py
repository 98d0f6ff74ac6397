"""Looks into a clip: does it open, what does it measure, what picture stands for it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from adreel.errors import ClipUnavailable

# Said outright: FFmpeg would guess, and some formats (playlists) make it open other files.
FORMAT = "mp4"
POSTER_SIDE = 640
POSTER_SECONDS = 0.5
PIECE = 1024 * 1024
TOLERANCE_SECONDS = 0.5
TOLERANCE_SHARE = 0.05
CUT_SECONDS = 0.2


@dataclass(frozen=True)
class Measures:
    """What a clip is like; `duration` in seconds."""

    duration: float
    width: int
    height: int


def measure(path: Path) -> Measures:
    """Open a clip and decode its first picture; ClipUnavailable if it is no video."""
    try:
        with av.open(str(path), format=FORMAT) as container:
            if not container.streams.video:
                raise ClipUnavailable("what arrived has no video in it")
            video = container.streams.video[0]
            next(container.decode(video))
            container.seek(0)
            seconds = _last_moment(container, video)
            promised = float((video.duration or 0) * (video.time_base or 0))
            if seconds < promised - CUT_SECONDS:
                raise ClipUnavailable(f"what arrived is cut off after {seconds:.2f} of {promised:.2f} s")
            return Measures(seconds, video.width, video.height)
    except (FFmpegError, StopIteration, ValueError) as error:
        raise ClipUnavailable(f"what arrived is no playable video: {error}") from error


def _last_moment(container: InputContainer, video: VideoStream) -> float:
    # The header of a clip cut short still promises its whole length: only the pictures that came count.
    ends = [
        float((packet.pts + (packet.duration or 0)) * packet.time_base)
        for packet in container.demux(video)
        if packet.pts is not None and packet.size
    ]
    return max(ends, default=0.0)


def check_duration(measured: Measures, asked: float) -> None:
    """Raise ClipUnavailable if a clip is clearly shorter than asked; providers round, so there is a tolerance."""
    shortest = asked - max(TOLERANCE_SECONDS, asked * TOLERANCE_SHARE)
    if measured.duration < shortest:
        raise ClipUnavailable(
            f"the clip lasts {measured.duration:.2f} s, but {asked:g} s were asked for:"
            " it is not kept; regenerate the scene to buy another"
        )


def make_poster(clip: Path, target: Path) -> None:
    """Write a JPEG of a picture from the beginning of a clip, but not the first: that may be black."""
    with av.open(str(clip), format=FORMAT) as container:
        video = container.streams.video[0]
        # Every picture that is decoded costs milliseconds: few are, on one core, and the small picture is made of one.
        video.codec_context.skip_frame = "NONREF"
        video.thread_type = "NONE"
        moment = min((container.duration or 0) / av.time_base / 3, POSTER_SECONDS)
        frames = container.decode(video)
        frame = next(frames)
        while (frame.time or 0) < moment and (following := next(frames, None)):
            frame = following
        scale = min(1.0, POSTER_SIDE / max(frame.width, frame.height))
        small = frame.reformat(width=round(frame.width * scale), height=round(frame.height * scale))
        image = small.to_image()  # type: ignore[no-untyped-call]
    image.save(target, "JPEG", quality=80)


def sha256_of(stream: BinaryIO) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    while piece := stream.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()
