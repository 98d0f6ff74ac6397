"""The logo in a corner."""

from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageOps

from adreel.cut.plan import Box
from adreel.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64_000_000
MAX_WIDTH, MAX_HEIGHT, GAP = 0.2, 0.12, 0.015
"""Shares of the width and of the height of the picture; the gap is that between captions and a logo below them."""


def read_logo(path: Path | str) -> Image.Image:
    """Return a logo with straight alpha; InputError if it can't be read."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InputError(f"the picture has {picture.width}x{picture.height} pixels, more than adreel decodes")
            return ImageOps.exif_transpose(picture).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError("the picture can't be read: it has to be a PNG, JPEG or WebP") from error


def placed_logo(path: str, corner: str, width: int, height: int, area: Box) -> tuple[Image.Image, int, int]:
    """Return a logo in its size for a picture, and its left and upper edge in a corner of an area."""
    logo = read_logo(path)
    logo = logo.crop(logo.getbbox())
    scale = min(width * MAX_WIDTH / logo.width, height * MAX_HEIGHT / logo.height)
    size = tuple(max(2, 2 * round(side * scale / 2)) for side in logo.size)
    logo = logo.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    # The colours of a film have half its resolution: pictures on it start at even pixels.
    left = -(-area.left // 2) * 2 if corner.endswith("left") else (area.right - logo.width) // 2 * 2
    top = -(-area.top // 2) * 2 if corner.startswith("top") else (area.bottom - logo.height) // 2 * 2
    return logo, left, top


def area_above(area: Box, corner: str, height: int, logo_top: int | None = None) -> Box:
    """Return the area of captions: above a logo in a lower corner. Without its place, the largest logo is assumed."""
    if not corner.startswith("bottom"):
        return area
    highest = area.bottom - round(height * MAX_HEIGHT) - 2 if logo_top is None else logo_top
    return replace(area, bottom=highest - round(height * GAP))
