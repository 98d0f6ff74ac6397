"""Lettering: Pillow's built-in typeface, and text that fits into a box."""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageFont

LEADING = 1.28


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the built-in typeface at a size in pixels."""
    face = ImageFont.load_default(max(6, size))
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType: the cards need scalable type")
    return face


def printable(text: str) -> str:
    """Return text in the letters that the typeface has: accents stay off, other signs go."""
    plain = unicodedata.normalize("NFKD", text).translate(_PLAINER)
    return " ".join("".join(sign for sign in plain if " " <= sign <= "~" or sign.isspace()).split())


_PLAINER = str.maketrans(dict(zip("\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00d7", "''\"\"--.x", strict=True)))


@dataclass(frozen=True)
class Block:
    """Wrapped text at the size at which it fits."""

    lines: tuple[str, ...]
    size: int

    @property
    def leading(self) -> int:
        """Return the distance between two lines in pixels."""
        return round(self.size * LEADING)

    @property
    def height(self) -> int:
        """Return the height of all lines in pixels."""
        return self.leading * len(self.lines)


def fitted(text: str, width: int, height: int, *, largest: int, smallest: int) -> Block:
    """Wrap text into a box at the largest size that fits; what is too long at the smallest is cut."""
    for size in range(largest, smallest, -2):
        block = Block(tuple(_wrapped(text, size, width)), size)
        if block.height <= height:
            return block
    lines = _wrapped(text, smallest, width)
    room = max(0, height // round(smallest * LEADING))
    cut = [*lines[: room - 1], f"{lines[room - 1]} ..."] if 0 < room < len(lines) else lines[:room]
    return Block(tuple(cut), smallest)


def _wrapped(text: str, size: int, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
