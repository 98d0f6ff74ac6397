"""The clips of the simulation: real MP4 files, one for each task, made once; what they measure is remembered."""

import struct
import tempfile
from functools import cache
from pathlib import Path

from adreel import media
from adreel.media import Measures
from tests.factories import write_film

SECONDS = 1.0
MARK = 8 + 36


@cache
def _film(*, shorter: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_film(Path(folder) / "film.mp4", 0.4 if shorter else SECONDS).read_bytes()


def clip_bytes(uuid: str, *, shorter: bool = False) -> bytes:
    """Return the clip of a task: a film, and a box at its end that players pass over, so that each is another."""
    return _film(shorter=shorter) + struct.pack(">I4s", MARK, b"free") + uuid.encode()


def measure(clip: Path, poster: Path) -> Measures:
    """Measure a clip and draw its poster, once for all that differ in their mark only."""
    measures, picture = _looked_into(_unmarked(clip.read_bytes()))
    poster.write_bytes(picture)
    return measures


def _unmarked(content: bytes) -> bytes:
    return content[:-MARK] if content[-MARK + 4 : -MARK + 8] == b"free" else content


@cache
def _looked_into(content: bytes) -> tuple[Measures, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        clip, poster = Path(folder) / "clip.mp4", Path(folder) / "poster.jpg"
        clip.write_bytes(content)
        return media.measure(clip, poster), poster.read_bytes()
