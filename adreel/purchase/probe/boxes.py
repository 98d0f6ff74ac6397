"""Boxes of an MP4 file, for the detection of truncated files and rotated tracks."""

import struct
from collections.abc import Iterator
from pathlib import Path

EXTENDED, TO_THE_END = 1, 0
HEADER = 8
FRAGMENTS = {b"moof", b"moov"}
MAX_MOVIE_BYTES = 8 * 1024 * 1024
MATRIX_OFFSETS = {b"mvhd": (36, 48), b"tkhd": (40, 52)}
"""Place of the matrix in the content of a box, by the version of the box."""
IDENTITY = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def find_truncation(path: Path) -> str:
    """Return where an MP4 file is truncated, as text; "" if it is complete or not an MP4."""
    size, position, kinds = path.stat().st_size, 0, set()
    with path.open("rb") as stream:
        while position < size:
            stream.seek(position)
            header = stream.read(HEADER)
            if len(header) < HEADER:
                return f"it breaks off in the header of a box, at byte {position}"
            length, kind = int.from_bytes(header[:4]), header[4:]
            if length == EXTENDED:
                length = int.from_bytes(stream.read(HEADER))
            elif length == TO_THE_END:
                length = size - position
            if length < HEADER or not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in kind):
                return ""  # The rest of the file is not a box.
            kinds.add(kind)
            if position + length > size:
                return f"it breaks off: {size} of at least {position + length} bytes arrived"
            position += length
    if b"mdat" in kinds and not kinds & FRAGMENTS:
        return "it breaks off before its index"
    return ""


def is_upright(path: Path) -> bool:
    """Whether the header shows every track as it is coded: neither rotated nor scaled. False if that is not certain."""
    size, position = path.stat().st_size, 0
    with path.open("rb") as stream:
        while position < size:
            stream.seek(position)
            header = stream.read(HEADER)
            length, kind = int.from_bytes(header[:4]), header[4:]
            if length < HEADER:
                return False
            if kind == b"moov":
                return length <= MAX_MOVIE_BYTES and _is_upright(stream.read(length - HEADER))
            position += length
    return False


def _is_upright(movie: bytes) -> bool:
    headers = [(kind, content) for kind, content in _boxes(movie) if kind == b"mvhd"]
    for kind, track in _boxes(movie):
        if kind == b"trak":
            headers += [(kind, content) for kind, content in _boxes(track) if kind == b"tkhd"]
    for kind, content in headers:
        offsets = MATRIX_OFFSETS[kind]
        version = content[0] if content else len(offsets)
        if version >= len(offsets):
            return False
        if content[offsets[version] : offsets[version] + len(IDENTITY)] != IDENTITY:
            return False
    return {kind for kind, _ in headers} == set(MATRIX_OFFSETS)


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and contents of the boxes in a box, up to the first broken one."""
    position = 0
    while HEADER <= (length := int.from_bytes(content[position : position + 4])) <= len(content) - position:
        yield content[position + 4 : position + HEADER], content[position + HEADER : position + length]
        position += length
