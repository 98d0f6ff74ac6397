"""The logo in a corner."""

from pathlib import Path

from PIL import Image


def read_logo(path: Path | str) -> Image.Image:
    """Read a logo."""
    return Image.open(path).convert("RGBA")
