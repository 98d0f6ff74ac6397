"""Input images: local frames and references, copied into the session's folder, so that a purchase needs no other file.

A copy is stored at `sessions/{session_id}/inputs/{sha256}.{extension}` and never overwritten. Its reference is the path
relative to the session's folder, and the original file name: `inputs/{sha256}.png#lamp.png`.
"""

import base64
import hashlib
import io
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from adreel.errors import InputError, StorageError
from adreel.models.sessions import INPUT_PATTERN, Session, is_local_file
from adreel.storage import Storage
from adreel.storage.crash_points import crash_point

MAX_MB = 10
MAX_MEGAPIXELS = 40
NAME_LENGTH = 100
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
# Some phones write JPEGs with a second picture, which are MPO files. Only the first picture is used.
_EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp"}
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


def check_image(file: str, field: str = "first_frame") -> None:
    """Check the header and size of a local image; InputError names its field and why it can't be sent."""
    _open_image(file, _checked_path(file, field), field).close()


def read_image(file: str, field: str = "first_frame") -> InputImage:
    """Read and decode a local image; InputError says why it can't be sent."""
    path = _checked_path(file, field)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_MB * 1_000_000)
    except OSError as error:
        raise _unreadable(file, error, field) from None
    with _open_image(file, io.BytesIO(content), field) as image:
        extension = _EXTENSIONS[image.format or ""]
        try:
            image.load()
        except _BAD_IMAGE as error:
            raise InputError(f"{field} {file!r} is a damaged image: {error}") from None
    name = "".join(letter for letter in path.name if letter.isprintable())
    return InputImage(content, extension, name[-NAME_LENGTH:])


def copy_input(storage: Storage, session_id: str, image: InputImage) -> str:
    """Copy an image into a session's folder, unless it exists, and return its reference."""
    path = input_path(session_id, image.reference)
    stands = storage.update(path, lambda earlier: image.content if earlier is None else None)
    if stands != image.content:
        raise _changed(storage, path)
    crash_point("input copied")
    return image.reference


def copy_inputs(storage: Storage, session: Session) -> Session:
    """Copy the local images of a session, and return the session with references to the copies.

    An unreadable file keeps its path; the purchase of its scene reports it.
    """
    copies = {}
    for options in (session, *session.scene_descriptions):
        for name, image in options.named_images():
            if is_local_file(image) and image not in copies:
                with suppress(InputError):
                    copies[image] = copy_input(storage, session.session_id, read_image(image, name))
    scenes = [scene.with_images(copies) for scene in session.scene_descriptions]
    return session.with_images(copies).model_copy(update={"scene_descriptions": scenes})


def has_input(storage: Storage, session_id: str, reference: str) -> bool:
    """Whether the copy of a reference is in the session's folder."""
    return storage.exists(input_path(session_id, reference))


def read_input(storage: Storage, session_id: str, reference: str) -> bytes:
    """Return the bytes of a copy; InputError if it is missing, StorageError if it has changed."""
    path = input_path(session_id, reference)
    try:
        content = storage.read(path)
    except FileNotFoundError:
        name, place = display_name(reference), storage.location(path)
        raise InputError(
            f"the copy of the image {name!r} is gone from {place}: put it back, or name the image again"
        ) from None
    if hashlib.sha256(content).hexdigest() not in path:
        raise _changed(storage, path)
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
    """Return the URL or original file name of an image."""
    return image.partition("#")[2] if INPUT_PATTERN.fullmatch(image) else image


def input_path(session_id: str, reference: str) -> str:
    """Return the path of a reference's copy in the storage."""
    return f"sessions/{session_id}/{reference.partition('#')[0]}"


def _checked_path(file: str, field: str) -> Path:
    path = Path(file)
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(file, error, field) from None
    # Reading a named pipe or a device might block forever.
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{field} {file!r} is not a file")
    if found.st_size > MAX_MB * 1_000_000:
        raise InputError(
            f"{field} {file!r} has {found.st_size / 1e6:.1f} MB, {MAX_MB} MB are allowed: make it smaller,"
            " or give its https URL"
        )
    return path


def _open_image(file: str, source: Path | io.BytesIO, field: str) -> Image.Image:
    try:
        image = Image.open(source, formats=("PNG", "JPEG", "WEBP"))
    except PermissionError as error:
        raise _unreadable(file, error, field) from None
    except _BAD_IMAGE:
        raise InputError(f"{field} {file!r} is neither an https URL nor a PNG, JPEG or WebP image") from None
    if image.width * image.height > MAX_MEGAPIXELS * 1_000_000:
        image.close()
        raise InputError(
            f"{field} {file!r} has {image.width}x{image.height} pixels, {MAX_MEGAPIXELS} million are"
            " allowed: make it smaller, or give its https URL"
        )
    return image


def _unreadable(file: str, error: Exception, field: str) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else error
    where = "" if Path(file).is_absolute() else "; a relative path starts at the folder of the session file"
    return InputError(f"can't read {field} {file!r}: {reason}{where}")


def _changed(storage: Storage, path: str) -> StorageError:
    return StorageError(f"{storage.location(path)} is not the image that was copied there: move it away")
