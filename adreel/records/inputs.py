"""Input images: local frames and references, copied into the session's folder, so that a purchase needs no other file.

A copy is stored at `sessions/{session_id}/inputs/{sha256}.{extension}` and never overwritten. Its reference is the path
relative to the session's folder, and the original file name: `inputs/{sha256}.png#lamp.png`.
"""

import base64
import hashlib
import io
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from adreel.errors import InputError, StorageError
from adreel.models.field_errors import shortened
from adreel.models.parts import Part, scenario_of
from adreel.models.sessions import INPUT_PATTERN, Session, is_local_file
from adreel.storage import Storage
from adreel.storage.crash_points import crash_point

MAX_MB, MAX_MEGAPIXELS = 10, 40
"""Limits of an image that is sent. A larger one is sent as a smaller copy."""
READABLE_MB, READABLE_MEGAPIXELS = 100, 200
"""Limits of an image that is read at all."""
SCALED_SIDES = (4096, 2048, 1024)
"""Longest sides in pixels of a smaller copy, the first that fits. No model renders more than 4096."""
SCALED_QUALITY = 92
NAME_LENGTH = 100
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
_ORIENTATION = 0x0112
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)
_BAD_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True)
class InputImage:
    """An image: its bytes, the extension by its content, and the original file name."""

    content: bytes
    extension: str
    name: str

    @property
    def reference(self) -> str:
        """The reference of the image's copy."""
        return f"inputs/{hashlib.sha256(self.content).hexdigest()}.{self.extension}#{self.name}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        with Image.open(io.BytesIO(self.content)) as image:
            return image.size


def check_image(file: str, field: str = "first_frame") -> str:
    """Check the header and size of a local image. Returns why a smaller copy will be sent, if so.

    InputError names the field and why the image can't be sent.
    """
    path = _checked_path(file, field)
    try:
        with path.open("rb") as stream:
            _, image = _open_image(stream, f"{field} {file!r}")
            with image:
                size = path.stat().st_size
                if not _is_too_large(size, image):
                    return ""
                return (
                    f"{field} {path.name!r} has {size / 1e6:.1f} MB and {image.width}x{image.height} pixels: a smaller"
                    f" copy is sent, because {MAX_MB} MB and {MAX_MEGAPIXELS} million pixels are allowed"
                )
    except OSError as error:
        raise unreadable(file, error, field) from None


def read_image(file: str, field: str = "first_frame") -> InputImage:
    """Read and decode a local image, and scale it down if it is too large; InputError says why it can't be sent."""
    path = _checked_path(file, field)
    try:
        with path.open("rb") as stream:
            content = stream.read(READABLE_MB * 1_000_000)
    except OSError as error:
        raise unreadable(file, error, field) from None
    return parse_image(content, path.name, f"{field} {file!r}")


def parse_image(content: bytes, name: str, shown: str, *, scales: bool = True) -> InputImage:
    """Decode an image, and scale it down if it is too large; InputError calls it by `shown`.

    With `scales=False`, too large an image is an error, before any pixel is decoded.
    """
    extension, image = _open_image(io.BytesIO(content), shown)
    with image:
        is_too_large = _is_too_large(len(content), image)
        if is_too_large and not scales:
            raise InputError(
                f"{shown} has {len(content) / 1e6:.1f} MB and {image.width}x{image.height} pixels, {MAX_MB} MB and"
                f" {MAX_MEGAPIXELS} million pixels are allowed: make it smaller"
            )
        try:
            if is_too_large:
                content, extension = _scaled_down(image)
            else:
                image.load()
        except _BAD_IMAGE as error:
            raise InputError(f"{shown} is a damaged image: {error}") from None
    clean = "".join(letter for letter in name if letter.isprintable())
    return InputImage(content, extension, clean[-NAME_LENGTH:])


def copy_input(storage: Storage, session_id: str, image: InputImage) -> str:
    """Copy an image into a session's folder, unless it exists, and return its reference."""
    path = input_path(session_id, image.reference)
    stands = storage.update(path, lambda earlier: image.content if earlier is None else None)
    if stands != image.content:
        raise changed(storage, path)
    crash_point("input copied")
    return image.reference


def copy_inputs(storage: Storage, session: Session, parts: Iterable[Part]) -> Session:
    """Copy the local images of a session, and return the session with references to the copies.

    InputError, before anything is copied, if an image of a part that is to be bought can't be read. An unreadable
    image of another scene keeps its path; the purchase of that scene reports it.
    """
    images: dict[str, InputImage] = {}
    for scenario in dict.fromkeys(filter(None, map(scenario_of, parts))):
        options = session.render_options(session.scene(scenario))
        try:
            images |= read_images(options.named_images(), images)
        except InputError as error:
            raise InputError(f"scene {scenario}: {error}", error.fields) from None
    for options in (session, *session.scene_descriptions):
        for named in options.named_images():
            with suppress(InputError):
                images |= read_images([named], images)
    copies = {file: copy_input(storage, session.session_id, image) for file, image in images.items()}
    scenes = [scene.with_images(copies) for scene in session.scene_descriptions]
    return session.with_images(copies).model_copy(update={"scene_descriptions": scenes})


def read_images(named: Iterable[tuple[str, str]], known: Iterable[str] = ()) -> dict[str, InputImage]:
    """Read the local files among named images, each once and without those that are known; InputError has the field."""
    images: dict[str, InputImage] = {}
    for name, file in named:
        if is_local_file(file) and file not in images and file not in known:
            try:
                images[file] = read_image(file, name)
            except InputError as error:
                raise InputError(str(error), {name: str(error)}) from None
    return images


def has_input(storage: Storage, session_id: str, reference: str) -> bool:
    """Whether the copy of a reference is in the session's folder."""
    return storage.exists(input_path(session_id, reference))


def read_input(storage: Storage, session_id: str, reference: str) -> bytes:
    """Return the bytes of a copy; InputError if it is missing, StorageError if it has changed."""
    path = input_path(session_id, reference)
    try:
        content = storage.read(path)
    except FileNotFoundError:
        name, place, kind = display_name(reference), storage.location(path), _kind_of(path)
        raise InputError(
            f"the copy of the {kind} {name!r} is gone from {place}: put it back, or name the {kind} again"
        ) from None
    if hashlib.sha256(content).hexdigest() not in path:
        raise changed(storage, path)
    return content


def image_data(storage: Storage, session_id: str, image: str) -> str:
    """Return an image as it is sent: an https URL unchanged, a copy as a data URI.

    Requests of earlier versions may name a local file.
    """
    if image.startswith("https://"):
        return image
    if is_local_file(image):
        found = read_image(image)
        content, extension = found.content, found.extension
    else:
        content = read_input(storage, session_id, image)
        extension = input_path(session_id, image).rpartition(".")[2]
    return f"data:{MEDIA_TYPES[extension]};base64,{base64.b64encode(content).decode()}"


def display_name(image: str) -> str:
    """Return the URL, local path or original file name of an image."""
    return image.partition("#")[2] if INPUT_PATTERN.fullmatch(image) else image


def input_path(session_id: str, reference: str) -> str:
    """Return the path of a reference's copy in the storage."""
    return f"sessions/{session_id}/{reference.partition('#')[0]}"


def upload_path(session_id: str, reference: str) -> str:
    """Return the path of the record of a copy's upload to the provider."""
    return f"{input_path(session_id, reference).rpartition('.')[0]}.upload.json"


def _checked_path(file: str, field: str) -> Path:
    if _URL.match(file):
        raise InputError(
            f"{field} {shortened(file)!r} is no https URL: give one, or the path of a PNG, JPEG or WebP file"
        )
    path = Path(file)
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(file, error, field) from None
    # Reading a named pipe or a device might block forever.
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{field} {file!r} is not a file")
    if found.st_size > READABLE_MB * 1_000_000:
        raise InputError(
            f"{field} {file!r} has {found.st_size / 1e6:.1f} MB, {READABLE_MB} MB are allowed: make it smaller,"
            " or give its https URL"
        )
    return path


def _open_image(source: BinaryIO, shown: str) -> tuple[str, Image.Image]:
    """Return the extension and the image of a file, by its first bytes."""
    # Image.open would refuse some sizes that are allowed here, and accept more formats.
    first = source.read(12)
    source.seek(0)
    kinds: tuple[tuple[bool, str, Callable[[BinaryIO], Image.Image]], ...] = (
        (first.startswith(b"\x89PNG\r\n\x1a\n"), "png", PngImageFile),
        # Some phones write JPEGs with a second picture, which are MPO files. Only the first picture is used.
        (first.startswith(b"\xff\xd8\xff"), "jpg", JpegImageFile),
        (first.startswith(b"RIFF") and first[8:] == b"WEBP", "webp", WebPImageFile),
    )
    try:
        extension, image = next((extension, opened(source)) for fits, extension, opened in kinds if fits)
    except (StopIteration, *_BAD_IMAGE):
        raise InputError(f"{shown} is neither an https URL nor a PNG, JPEG or WebP image") from None
    if image.width * image.height > READABLE_MEGAPIXELS * 1_000_000:
        raise InputError(
            f"{shown} has {image.width}x{image.height} pixels, {READABLE_MEGAPIXELS} million are allowed: make it"
            " smaller, or give its https URL"
        )
    return extension, image


def _is_too_large(size: int, image: Image.Image) -> bool:
    return size > MAX_MB * 1_000_000 or image.width * image.height > MAX_MEGAPIXELS * 1_000_000


def _scaled_down(image: Image.Image) -> tuple[bytes, str]:
    """Return a smaller copy and its extension: a PNG if it is transparent, else a JPEG. Its rotation tag is kept."""
    exif = Image.Exif()
    if orientation := image.getexif().get(_ORIENTATION):
        exif[_ORIENTATION] = orientation
    kept = {"exif": exif.tobytes(), "icc_profile": image.info.get("icc_profile")}
    is_transparent = image.has_transparency_data
    if is_transparent:
        image = image.convert("RGBA")
    elif image.mode.startswith("I"):
        image = image.convert("I").point(lambda shade: shade / 256).convert("L")
    elif image.mode not in {"L", "RGB", "CMYK"}:
        image = image.convert("RGB")
    for side in SCALED_SIDES:
        image.thumbnail((side, side))
        copy = io.BytesIO()
        if is_transparent:
            image.save(copy, "PNG", **kept)
        else:
            image.save(copy, "JPEG", quality=SCALED_QUALITY, **kept)
        if copy.tell() <= MAX_MB * 1_000_000:
            break
    return copy.getvalue(), "png" if is_transparent else "jpg"


def unreadable(file: str, error: Exception, field: str) -> InputError:
    """Return the error for a local file that can't be read."""
    reason = error.strerror if isinstance(error, OSError) else error
    where = "" if Path(file).is_absolute() else "; a relative path starts at the folder of the session file"
    return InputError(f"can't read {field} {file!r}: {reason}{where}")


def changed(storage: Storage, path: str) -> StorageError:
    """Return the error for a copy with other bytes than its name says."""
    return StorageError(f"{storage.location(path)} is not the {_kind_of(path)} that was copied there: move it away")


def _kind_of(path: str) -> str:
    return "image" if path.rpartition(".")[2] in MEDIA_TYPES else "file"
