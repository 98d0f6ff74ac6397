"""Input files of a cut: voice, music, logo and captions, copied into the session's folder like input images.

They can be named only in a session file or a campaign on this machine, never by a remote caller.
"""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from adreel.errors import InputError
from adreel.models.cut_settings import CutSettings
from adreel.models.sessions import INPUT_PATTERN, Session
from adreel.models.srt import parse_srt
from adreel.records.inputs import NAME_LENGTH, changed, input_path, read_image, unreadable
from adreel.storage import Storage
from adreel.storage.crash_points import crash_point

MAX_SOUND_MB = 100
MAX_CAPTIONS_MB = 1
KINDS = {"cut.voice": "audio", "cut.music.file": "audio", "cut.logo.file": "image", "cut.captions.file": "captions"}
SUITABLE = {
    "audio": "an MP3, WAV, M4A, FLAC or Ogg file",
    "image": "a PNG, JPEG or WebP image",
    "captions": "an SRT file",
}
_EXTENSIONS = {"mp3": "mp3", "wav": "wav", "mov": "m4a", "flac": "flac", "ogg": "ogg"}
"""Extensions by the first name of FFmpeg's demuxer."""


@dataclass(frozen=True)
class InputFile:
    """A local file: its bytes, the extension by its content, and its name."""

    content: bytes
    extension: str
    name: str

    @property
    def reference(self) -> str:
        """The reference of the file's copy."""
        return f"inputs/{hashlib.sha256(self.content).hexdigest()}.{self.extension}#{self.name}"


def check_files_of_cut(cut: CutSettings | None) -> None:
    """Read the local files that a cut names; InputError names the first unusable one."""
    for field, file in cut.named_files() if cut else ():
        _check_or_read(file, field)


def copy_files_of_cut(storage: Storage, session: Session) -> Session:
    """Copy the local files that a session's cut names, and return the session with references to the copies."""
    if session.cut is None:
        return session
    copies = {}
    for field, file in session.cut.named_files():
        if found := _check_or_read(file, field):
            path = input_path(session.session_id, found.reference)
            with storage.workspace() as folder:
                source = folder / "input"
                source.write_bytes(found.content)
                if not storage.publish(source, path) and storage.read(path) != found.content:
                    raise changed(storage, path)
            crash_point("input copied")
            copies[file] = found.reference
    return session.model_copy(update={"cut": session.cut.with_files(copies)})


def _check_or_read(file: str, field: str) -> InputFile | None:
    """Read a local file; None for a reference of a suitable copy."""
    kind = KINDS[field]
    if copied := INPUT_PATTERN.fullmatch(file):
        if not copied[kind]:
            raise InputError(f"{field} {file!r} is not {SUITABLE[kind]}")
        return None
    if kind == "image":
        image = read_image(file, field)
        return InputFile(image.content, image.extension, image.name)
    content = _read(file, field, MAX_SOUND_MB if kind == "audio" else MAX_CAPTIONS_MB)
    if kind == "captions":
        parse_srt(content, f"{field} {file!r}")
        extension = "srt"
    else:
        extension = _sound_extension(file, field)
    name = "".join(letter for letter in Path(file).name if letter.isprintable())
    return InputFile(content, extension, name[-NAME_LENGTH:])


def _read(file: str, field: str, most: int) -> bytes:
    path = Path(file)
    try:
        found = path.stat()
        # Reading a named pipe or a device might block forever.
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{field} {file!r} is not a file")
        if found.st_size > most * 1_000_000:
            raise InputError(f"{field} {file!r} has {found.st_size / 1e6:.1f} MB, {most} MB are allowed")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable(file, error, field) from None


def _sound_extension(file: str, field: str) -> str:
    import av  # noqa: PLC0415 - most sessions name no sound

    unsuitable = InputError(f"{field} {file!r} is not {SUITABLE['audio']} that can be decoded")
    try:
        with av.open(file) as container:
            extension = _EXTENSIONS.get(container.format.name.partition(",")[0])
            if extension is None or not container.streams.audio:
                raise unsuitable
            if next(container.decode(container.streams.audio[0]), None) is None:
                raise unsuitable
    except (av.FFmpegError, OSError, ValueError):
        raise unsuitable from None
    return extension
