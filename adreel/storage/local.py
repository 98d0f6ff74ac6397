"""A local disk, or one that is mounted as such: a temporary name, fsync, and a rename or a hard link."""

import errno
import fcntl
import math
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

from adreel.storage.crash_points import crash_point
from adreel.storage.objects import Change, Objects, too_large

WORKSPACE = ".tmp"
TEMPORARY = r"\..+\.[0-9a-f]{32}"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# The umask applies. Users outside of the group never get access: prompts, prices and unpublished ads are private.
FOLDER_MODE, OTHERS = 0o750, 0o007
LOCK_SECONDS = 30.0
"""How long an update waits for another process that changes a file in the same folder."""
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
NO_LOCKS = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EBADF, errno.EINVAL}


class LocalDisk(Objects):
    """Durable when it returns; publishing and updating are one step for all processes that share the disk."""

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return the content."""
        with self.open(path) as stream:
            if most is not None and os.fstat(stream.fileno()).st_size > most:
                raise too_large(most)
            return stream.read()

    def write(self, path: str, content: bytes) -> None:
        """Replace a file, whole or not at all."""
        _replace(Path(path), content)

    def update(self, path: str, change: Change) -> bytes | None:
        """Read, change and replace a file while nobody else does."""
        with _locked(Path(path).parent):
            return super().update(path, change)

    def publish(self, source: Path, path: str) -> bool:
        """Link a file to its name, which only the first can do."""
        return _link(source, Path(path))

    def open(self, path: str) -> BinaryIO:
        """Open a regular file; refuse a FIFO or a device, which might never answer."""
        return os.fdopen(_open_regular(path), "rb")

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""
        return os.listdir(path)  # noqa: PTH208 - names, not paths

    def remove(self, path: str) -> None:
        """Remove a file durably."""
        Path(path).unlink()
        _sync_folder(Path(path).parent)

    def sign(self, _path: str, _seconds: int) -> None:
        """Return None: a disk has no addresses."""

    def leftovers(self, root: str, before: datetime) -> list[str]:
        """Return the temporary files and folders that nobody touched since then."""
        found = []
        for folder, folders, files in os.walk(root):
            names = [name for name in files if re.fullmatch(TEMPORARY, name)]
            if Path(folder) == Path(root) / WORKSPACE:
                names = [*folders, *files]
                folders.clear()
            found += [path for name in names if _touched(path := Path(folder, name)) < before.timestamp()]
        return [str(path.relative_to(root)) for path in found]


def _open_regular(path: str) -> int:
    # Without O_NONBLOCK, open() waits for the writer of a FIFO.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is no regular file: move it away", path)


def _replace(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with _created(temporary) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        crash_point("temporary written")
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    crash_point("renamed")
    _sync_folder(target.parent)


def _created(path: Path) -> BinaryIO:
    try:
        stream = path.open("xb")
    except FileNotFoundError:
        make_folder(path.parent)
        stream = path.open("xb")
    _close_to_others(stream)
    return stream


def _close_to_others(stream: BinaryIO) -> None:
    mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
    if mode & OTHERS:
        # Some mounts (exFAT, SMB) have one mode for all files, and refuse chmod.
        with suppress(OSError):
            os.fchmod(stream.fileno(), mode & ~OTHERS)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, without access for users outside of the group."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir(FOLDER_MODE)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _link(source: Path, target: Path) -> bool:
    """Give a finished file its name; False if another one has it."""
    make_folder(target.parent)
    with source.open("rb") as stream:
        _close_to_others(stream)
        os.fsync(stream.fileno())
    try:
        # A hard link is the only atomic "create, but never overwrite" that a POSIX rename does not offer.
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # A file system without hard links (exFAT, some network mounts): look, then rename.
        if target.exists():
            return False
        source.replace(target)
    crash_point("linked")
    _sync_folder(target.parent)
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # A lock on the folder itself ends with the process that holds it, and leaves no file behind.
    try:
        handle = os.open(folder, FOLDER)
    except FileNotFoundError:
        make_folder(folder)
        handle = os.open(folder, FOLDER)
    try:
        try:
            _lock(handle)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    end, pause = time.monotonic() + LOCK_SECONDS, 0.001
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(f"it has been locked for {LOCK_SECONDS:g} s by {_holder(handle)}") from None
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        else:
            return


def _holder(handle: int) -> str:
    """Return the process that holds a lock, if the system tells."""
    found = os.fstat(handle)
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if place in fields and "FLOCK" in fields and "->" not in fields:
                return f"process {fields[fields.index(place) - 1]}"
    return "another process"


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf  # A run that is alive has just removed it.


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, FOLDER)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
