"""A local disk, or a mounted one: write to a temporary name, fsync, then rename or link.

Paths of records are plain strings here: pathlib shows in the processor time of thousands of scenes.
"""

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from adreel.storage.backend import Change, StorageBackend, too_large
from adreel.storage.crash_points import crash_point

WORKSPACE = ".tmp"
TEMPORARY_NAME = r"\..+\.[0-9a-f]{32}"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# The umask applies. Users outside of the group never get access: prompts, prices and unpublished ads are private.
FOLDER_MODE, FILE_MODE, OTHERS = 0o750, 0o666, 0o007
LOCK_SECONDS = 30.0
"""Maximum wait of an update for another process that changes a file in the same folder."""
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
NO_LOCKS = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EBADF, errno.EINVAL}


class LocalDisk(StorageBackend):
    """Writes are durable when they return. Processes that share the disk publish and update atomically."""

    atomic = True

    def read(self, path: str, most: int | None = None) -> bytes:
        with self.open(path) as stream:
            if most is not None and os.fstat(stream.fileno()).st_size > most:
                raise too_large(most)
            return stream.read()

    def stamp(self, path: str) -> object | None:
        found = os.stat(path)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def write(self, path: str, content: bytes) -> None:
        _replace(path, content)

    def update(self, path: str, change: Change) -> bytes | None:
        with _folder_lock(os.path.dirname(path)):
            return super().update(path, change)

    def publish(self, source: Path, path: str) -> bool:
        target = Path(path)
        make_folder(target.parent)
        with source.open("rb") as stream:
            _close_to_others(stream)
            os.fsync(stream.fileno())
        try:
            # A rename overwrites. Only a hard link creates a name atomically and fails if the name exists.
            os.link(source, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # exFAT and some network mounts have no hard links.
            if target.exists():
                return False
            source.replace(target)
        crash_point("linked")
        _sync_folder(target.parent)
        return True

    def open(self, path: str) -> BinaryIO:
        # Without O_NONBLOCK, open() would wait for the writer of a FIFO.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        mode = os.fstat(handle).st_mode
        if stat.S_ISREG(mode):
            return os.fdopen(handle, "rb")
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise OSError(errno.EINVAL, "not a regular file: move it away", path)

    def names(self, path: str) -> list[str]:
        return os.listdir(path)

    def files(self, path: str) -> list[str]:
        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        return [f"{folder}/{file}" for folder, _, files in os.walk(path, onerror=refuse) for file in files]

    def remove_folder(self, path: str) -> None:
        with suppress(OSError):  # It is gone, or another process has just written into it.
            Path(path).rmdir()

    def remove(self, path: str) -> None:
        Path(path).unlink()
        _sync_folder(Path(path).parent)

    def sign(self, _path: str, _seconds: int) -> None:
        """Return None: files on a disk have no URL."""

    def leftovers(self, root: str, before: datetime) -> list[str]:
        found = []
        for folder, folders, files in os.walk(root):
            names = [name for name in files if re.fullmatch(TEMPORARY_NAME, name)]
            if Path(folder) == Path(root) / WORKSPACE:
                names = [*folders, *files]
                folders.clear()
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):  # A live run has just removed it.
                    if path.stat().st_mtime < before.timestamp():
                        found.append(str(path.relative_to(root)))
        return found


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, without access for users outside of the group."""
    try:
        folder.mkdir(FOLDER_MODE)
    except FileNotFoundError:
        make_folder(folder.parent)
        make_folder(folder)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def _replace(target: str, content: bytes) -> None:
    folder, name = os.path.split(target)
    temporary = f"{folder}/.{name}.{uuid4().hex}"
    try:
        with os.fdopen(_open_in(folder, temporary, NEW_FILE), "wb") as stream:
            _close_to_others(stream)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        crash_point("temporary written")
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    crash_point("renamed")
    _sync_folder(folder)


def _open_in(folder: str, path: str, flags: int) -> int:
    """Open a folder or a file in it; a missing folder is created."""
    try:
        return os.open(path, flags, FILE_MODE)
    except FileNotFoundError:
        make_folder(Path(folder))
        return os.open(path, flags, FILE_MODE)


def _close_to_others(stream: BinaryIO) -> None:
    mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
    if mode & OTHERS:
        # Some mounts (exFAT, SMB) have one mode for all files, and refuse chmod.
        with suppress(OSError):
            os.fchmod(stream.fileno(), mode & ~OTHERS)


@contextmanager
def _folder_lock(folder: str) -> Iterator[None]:
    """Hold an exclusive lock on the folder itself: it ends with its process and leaves no file."""
    handle = _open_in(folder, folder, FOLDER)
    try:
        end, pause = time.monotonic() + LOCK_SECONDS, 0.001
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"it has been locked for {LOCK_SECONDS:g} s by {_lock_holder(handle)}") from None
                time.sleep(pause)
                pause = min(2 * pause, 0.05)
                continue
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            break
        yield
    finally:
        os.close(handle)


def _lock_holder(handle: int) -> str:
    folder = os.fstat(handle)
    place = f"{os.major(folder.st_dev):02x}:{os.minor(folder.st_dev):02x}:{folder.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if place in fields and "FLOCK" in fields and "->" not in fields:
                return f"process {fields[fields.index(place) - 1]}"
    return "another process"


def _sync_folder(folder: Path | str) -> None:
    handle = os.open(folder, FOLDER)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
