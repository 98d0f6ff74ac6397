"""The clips of the simulation: a real MP4 file for each task. Rendering and probing are cached."""

import struct
import tempfile
from functools import cache
from pathlib import Path

from adreel.emulator.clip_faults import odd_bytes
from adreel.purchase.probe.decoding import draw_poster, inspect_clip
from adreel.purchase.probe.findings import Findings
from tests.factories import write_film

SECONDS = 1.0
SHORTER = {"shorterVideo": 0.4, "slightlyShorterVideo": 0.8}
MARK = 8 + 36


@cache
def _film(oddity: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        film = write_film(Path(folder) / "film.mp4", SHORTER.get(oddity, SECONDS)).read_bytes()
        return odd_bytes(oddity, film)


def clip_bytes(uuid: str, oddity: str = "") -> bytes:
    """Return the clip of a task: a shared film, and a last box with the UUID that players ignore."""
    return _film(oddity) + struct.pack(">I4s", MARK, b"free") + uuid.encode()


async def probe(clip: Path) -> Findings:
    """Measure a clip, once for all clips that differ only in their last box."""
    return _looked_into(_unmarked(clip.read_bytes()))[0]


async def draw(clip: Path, poster: Path) -> str:
    """Draw the poster of a clip, once for all clips that differ only in their last box."""
    _, reason, picture = _looked_into(_unmarked(clip.read_bytes()))
    if picture:
        poster.write_bytes(picture)
    return reason


def _unmarked(content: bytes) -> bytes:
    return content[:-MARK] if content[-MARK + 4 : -MARK + 8] == b"free" else content


@cache
def _looked_into(content: bytes) -> tuple[Findings, str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        clip, poster = Path(folder) / "clip.mp4", Path(folder) / "poster.jpg"
        clip.write_bytes(content)
        findings, reason = inspect_clip(clip), draw_poster(clip, poster)
        return findings, reason, poster.read_bytes() if poster.exists() else b""
