"""Input images: frames and references of requests, and uploads. Each is kept once, by its SHA-256 digest.

The ledger names images as "sha256:" and the digest. With a folder they outlive the server, so that a clip is rendered
again with the same bytes.
"""

import base64
import binascii
import hashlib
import io
import re
import tempfile
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageOps

DIGEST = "sha256:"
FORMATS = ("PNG", "JPEG", "WEBP")
LARGEST_MEGAPIXELS = 80
FIRST_TURNED_ORIENTATION = 5
_DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_BAD_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning)


class InputImages:
    """The images that the server has received, in memory or in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._contents: dict[str, bytes] = {}

    def add(self, data_uri: str) -> str:
        """Keep an image and return its name; ValueError if it is none."""
        content = _decode_data_uri(data_uri)
        name = _name(content)
        if self._is_kept(name):
            return name
        _check(content)
        if self._folder is None:
            self._contents[name] = content
            return name
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(content)
        Path(file.name).replace(self._path(name))
        return name

    def read(self, name: str) -> bytes:
        """Return the bytes of an image."""
        return self._contents[name] if self._folder is None else self._path(name).read_bytes()

    def size(self, name: str) -> tuple[int, int]:
        """Return width and height of an image as it is seen."""
        with Image.open(io.BytesIO(self.read(name)), formats=FORMATS) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            width, height = image.size
        return (height, width) if orientation >= FIRST_TURNED_ORIENTATION else (width, height)

    def media_type(self, name: str) -> str:
        """Return the media type of an image."""
        with Image.open(io.BytesIO(self.read(name)), formats=FORMATS) as image:
            return Image.MIME[image.format or ""]

    def open(self, name: str) -> Image.Image:
        """Return an image as it is seen: upright and in RGB."""
        with Image.open(io.BytesIO(self.read(name)), formats=FORMATS) as image:
            return ImageOps.exif_transpose(image).convert("RGB")

    def _path(self, name: str) -> Path:
        return Path(self._folder or "", name.removeprefix(DIGEST))

    def _is_kept(self, name: str) -> bool:
        return name in self._contents if self._folder is None else self._path(name).exists()


def is_data_uri(value: object) -> bool:
    """Whether a value of a request is a data URI."""
    return isinstance(value, str) and value[:5].lower() == "data:"


def shorten(value: Any) -> Any:
    """Return a request with its data URIs replaced by the names of their contents."""
    if isinstance(value, dict):
        return {name: shorten(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shorten(inner) for inner in value]
    if not is_data_uri(value):
        return value
    try:
        return _name(_decode_data_uri(value))
    except ValueError:
        return _name(value.encode())


def _name(content: bytes) -> str:
    return DIGEST + hashlib.sha256(content).hexdigest()


def _decode_data_uri(uri: str) -> bytes:
    match = _DATA_URI.match(uri)
    if match is None:
        raise ValueError("it is no data URI in base64")
    try:
        return base64.b64decode(uri[match.end() :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"it is no base64: {error}") from None


def _check(content: bytes) -> None:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > LARGEST_MEGAPIXELS * 1_000_000:
                raise ValueError(f"it has more than {LARGEST_MEGAPIXELS} million pixels")
            image.load()
    except _BAD_IMAGE as error:
        raise ValueError(f"it can't be read as {', '.join(FORMATS)}: {error}") from None
