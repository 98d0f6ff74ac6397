"""The boxes of an MP4 file: whether it ends where it says."""

from pathlib import Path

EXTENDED, TO_THE_END = 1, 0
HEADER = 8
FRAGMENTS = {b"moof", b"moov"}


def break_off(path: Path) -> str:
    """Return where an MP4 file breaks off, in words; "" if it ends with its last box, or is no MP4."""
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
                return ""  # What follows is no box.
            kinds.add(kind)
            if position + length > size:
                return f"it breaks off: {size} of at least {position + length} bytes arrived"
            position += length
    if b"mdat" in kinds and not kinds & FRAGMENTS:
        return "it breaks off before its index"
    return ""
