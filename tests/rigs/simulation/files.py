"""The files of the simulation: a real clip, sound or still for each task. Rendering and probing are cached."""

import struct
import tempfile
from functools import cache
from pathlib import Path
from random import Random

from PIL import Image

from adreel.emulator.clip_faults import odd_bytes, odd_output
from adreel.emulator.clips import Clip
from adreel.emulator.outputs import Output
from adreel.emulator.sounds import Sound
from adreel.emulator.stills import Still
from adreel.models.parts import PartKind
from adreel.purchase.probe.additions import inspect_sound, inspect_still
from adreel.purchase.probe.decoding import draw_poster, inspect_clip
from adreel.purchase.probe.findings import Findings
from tests.factories import write_film, write_sound

SECONDS = 1.0
SHORTER = {"shorterVideo": 0.4, "slightlyShorterVideo": 0.8}
UUID_BYTES = 36
MARK = 8 + UUID_BYTES
COMMENT = b"\xff\xfe" + struct.pack(">H", 2 + UUID_BYTES)
APPLICATION = struct.pack(">I4s", 2 << 24 | 4 + UUID_BYTES, b"mark")
MARK_PLACES = {"voice": 42, "music": 42, "still": 2}
"""Where the UUID is inserted: behind the first block of a FLAC file, and behind the first marker of a JPEG file."""
MARK_HEADS = {"voice": APPLICATION, "music": APPLICATION, "still": COMMENT}


def file_bytes(uuid: str, output: Output, oddity: str = "") -> bytes:
    """Return the file of a task: one that all like it share, and the UUID in a place that players ignore."""
    if isinstance(output, Clip):
        return _film(oddity) + struct.pack(">I4s", MARK, b"free") + uuid.encode()
    odd = odd_output(oddity, output)
    if isinstance(odd, Sound):
        shared = _sound(odd.seconds, oddity, is_silent=odd.is_silent)
    else:
        assert isinstance(odd, Still)
        shared = _still((odd.width, odd.height), oddity)
    place = MARK_PLACES[output.kind]
    return shared[:place] + MARK_HEADS[output.kind] + uuid.encode() + shared[place:]


async def probe(path: Path, kind: PartKind) -> Findings:
    """Measure a file, once for all files that differ only in their UUID."""
    return _measured(_unmarked(path.read_bytes(), kind), kind)


async def draw(clip: Path, poster: Path) -> str:
    """Draw the poster of a clip, once for all clips that differ only in their last box."""
    reason, picture = _drawn(_unmarked(clip.read_bytes(), "clip"))
    if picture:
        poster.write_bytes(picture)
    return reason


@cache
def _film(oddity: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        film = write_film(Path(folder) / "film.mp4", SHORTER.get(oddity, SECONDS)).read_bytes()
        return odd_bytes(oddity, film)


@cache
def _sound(seconds: float, oddity: str, *, is_silent: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return odd_bytes(oddity, write_sound(Path(folder) / "sound.flac", seconds, silent=is_silent).read_bytes())


@cache
def _still(size: tuple[int, int], oddity: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path, (width, height) = Path(folder) / "still.jpg", size
        Image.frombytes("RGB", size, Random(0).randbytes(3 * width * height)).save(path)
        return odd_bytes(oddity, path.read_bytes())


def _unmarked(content: bytes, kind: PartKind) -> bytes:
    if kind == "clip":
        return content[:-MARK] if content[-MARK + 4 : -MARK + 8] == b"free" else content
    place, length = MARK_PLACES[kind], len(MARK_HEADS[kind]) + UUID_BYTES
    is_marked = content[place:].startswith(MARK_HEADS[kind])
    return content[:place] + content[place + length :] if is_marked else content


@cache
def _measured(content: bytes, kind: PartKind) -> Findings:
    inspect = {"clip": inspect_clip, "still": inspect_still}.get(kind, inspect_sound)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        return inspect(path)


@cache
def _drawn(content: bytes) -> tuple[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        clip, poster = Path(folder) / "clip.mp4", Path(folder) / "poster.jpg"
        clip.write_bytes(content)
        reason = draw_poster(clip, poster)
        return reason, poster.read_bytes() if poster.exists() else b""
