"""Checks of bought sounds and stills by their formats, without the code of the probe."""

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache

import av
from av.error import FFmpegError
from PIL import Image

from adreel.models.parts import PartKind
from adreel.models.takes import Clip

STREAM_INFO = 8
"""Place of the first metadata block of a FLAC file, which ends with the MD5 of all samples."""
MD5 = slice(STREAM_INFO + 18, STREAM_INFO + 34)
END_OF_IMAGE = b"\xff\xd9"
INEXACT_SECONDS = 0.001


@dataclass(frozen=True)
class _Decoded:
    is_whole: bool
    seconds: float = 0
    width: int = 0
    height: int = 0


def is_whole(kind: PartKind, content: bytes) -> bool:
    """Whether a sound or a still can be decoded to its end. A clip counts as whole: `test_odd_clips` checks those."""
    return kind == "clip" or _decode(kind, content).is_whole


def is_as_recorded(kind: PartKind, content: bytes, recorded: Clip) -> bool:
    """Whether a sound lasts as long, and a still is as large, as its record says."""
    if kind == "clip":
        return True
    found = _decode(kind, content)
    size = (found.width, found.height)
    return abs(found.seconds - recorded.duration) < INEXACT_SECONDS and size == (recorded.width, recorded.height)


@lru_cache(maxsize=64)
def _decode(kind: PartKind, content: bytes) -> _Decoded:
    return _decode_still(content) if kind == "still" else _decode_sound(content)


def _decode_sound(content: bytes) -> _Decoded:
    digest, seconds = hashlib.md5(usedforsecurity=False), 0.0
    try:
        with av.open(io.BytesIO(content), "r", format="flac") as container:
            for frame in container.decode(audio=0):
                digest.update(bytes(frame.planes[0])[: 2 * frame.samples * frame.layout.nb_channels])
                seconds += frame.samples / frame.sample_rate
    except (FFmpegError, ValueError):
        return _Decoded(is_whole=False, seconds=seconds)
    return _Decoded(is_whole=digest.digest() == content[MD5], seconds=seconds)


def _decode_still(content: bytes) -> _Decoded:
    width = height = 0
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            width, height = image.size
            image.load()
    except OSError:
        return _Decoded(is_whole=False, width=width, height=height)
    return _Decoded(content.endswith(END_OF_IMAGE), width=width, height=height)
