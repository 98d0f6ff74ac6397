"""Boxes of an MP4 file, for the detection of truncated files."""

from pathlib import Path

EXTENDED, TO_THE_END = 1, 0
HEADER = 8
FRAGMENTS = {b"moof", b"moov"}


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
