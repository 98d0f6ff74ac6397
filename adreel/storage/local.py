"""A local disk, or one that is mounted as such: a temporary name, fsync, and a rename or a hard link."""

import errno
import fcntl
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from adreel.crash_points import crash_point
from adreel.storage.objects import Change, Objects

WORKSPACE = ".tmp"
TEMPORARY = r"\..+\.[0-9a-f]{32}"
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
NO_LOCKS = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EBADF, errno.EINVAL}


class LocalDisk(Objects):
    """Durable when it returns; publishing and updating are one step for all processes that share the disk."""

    def read(self, path: str) -> bytes:
        """Return the content."""
        return Path(path).read_bytes()

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
        """Open a file."""
        return Path(path).open("rb")

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
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _link(source: Path, target: Path) -> bool:
    """Give a finished file its name; False if another one has it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as stream:
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
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf  # A run that is alive has just removed it.


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
