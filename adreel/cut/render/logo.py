"""The logo in a corner."""

from pathlib import Path

from PIL import Image, ImageOps

from adreel.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64_000_000
MAX_WIDTH, MAX_HEIGHT, MARGIN = 0.2, 0.12, 0.045
"""Shares of the width, of the height and of the shorter side of the picture."""


def read_logo(path: Path | str) -> Image.Image:
    """Return a logo with straight alpha; InputError if it can't be read."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InputError(f"the picture has {picture.width}x{picture.height} pixels, more than adreel decodes")
            return ImageOps.exif_transpose(picture).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError("the picture can't be read: it has to be a PNG, JPEG or WebP") from error


def placed_logo(path: str, corner: str, width: int, height: int) -> tuple[Image.Image, int, int]:
    """Return a logo in its size for a picture, and its left and upper edge."""
    logo = read_logo(path)
    logo = logo.crop(logo.getbbox())
    scale = min(width * MAX_WIDTH / logo.width, height * MAX_HEIGHT / logo.height)
    size = tuple(max(2, 2 * round(side * scale / 2)) for side in logo.size)
    logo = logo.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    margin = 2 * round(min(width, height) * MARGIN / 2)
    left = margin if corner.endswith("left") else (width - margin - logo.width) // 2 * 2
    top = margin if corner.startswith("top") else (height - margin - logo.height) // 2 * 2
    return logo, left, top
