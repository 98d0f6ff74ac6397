"""Small drawings in forms: the shape of a clip, and the colours of a brand."""

import re
from dataclasses import dataclass

from PIL import ImageColor

from adreel.catalog.sizes import ratio

LONGER_SIDE = 28
_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)


@dataclass(frozen=True)
class Shape:
    """An aspect with the sides of its picture."""

    aspect: str
    width: int
    height: int

    @classmethod
    def of(cls, aspect: str) -> "Shape":
        """Return the picture of an aspect."""
        shape = ratio(aspect)
        longer, shorter = LONGER_SIDE, round(LONGER_SIDE * min(shape, 1 / shape))
        return cls(aspect, *((longer, shorter) if shape >= 1 else (shorter, longer)))


def swatches(colours: str) -> list[tuple[str, str]]:
    """Return the colours of a comma-separated list with their #hex; words such as "warm white" have no picture."""
    found = []
    for colour in filter(None, (part.strip() for part in colours.split(","))):
        name = colour.lower()
        if _HEX.fullmatch(name):
            found.append((colour, name))
        elif name in ImageColor.colormap:
            red, green, blue = ImageColor.getrgb(name)[:3]
            found.append((colour, f"#{red:02x}{green:02x}{blue:02x}"))
    return found
