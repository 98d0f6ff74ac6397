"""Where clips and records live: any fsspec URL, named here by intent.

Whole or not at all, on every backend. A local disk gets a temporary name, fsync and rename; an object store
gets a single put, which becomes visible at its end. Nothing else in the project touches fsspec.
"""

import errno
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from adreel.crash_points import crash_point
from adreel.errors import StorageError

WORKSPACE = ".tmp"
TEMPORARY = r"\..+\.[0-9a-f]{32}"
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class Storage:
    """A folder on some file system; paths are relative to it, with '/' between their parts."""

    def __init__(self, url: str) -> None:
        try:
            self.fs, self.root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError, OSError) as error:
            raise StorageError(f"ADREEL_STORAGE is {url!r}: {error}") from error
        self.url = url
        self.is_local = isinstance(self.fs, LocalFileSystem)

    def location(self, path: str) -> str:
        """Return where a path is, for people: a file name on a local disk, else a URL."""
        full = self._full(path)
        return full if self.is_local else str(self.fs.unstrip_protocol(full))

    def read(self, path: str) -> bytes:
        """Return the content of a small file; FileNotFoundError if there is none."""
        try:
            return bytes(self.fs.cat_file(self._full(path)))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._trouble("read", path, error) from error

    def write(self, path: str, content: bytes) -> None:
        """Put a small file in place, whole or not at all, replacing an earlier one."""
        with self._writing(path):
            if self.is_local:
                _replace(Path(self._full(path)), content)
            else:
                self.fs.pipe_file(self._full(path), content)

    def publish(self, source: Path, path: str) -> bool:
        """Put a finished local file in place; False if something is there already, which stays as it is.

        An object store looks first and puts then: two writers at the same moment may both put, the same bytes.
        """
        with self._writing(path):
            if self.is_local:
                return _link(source, Path(self._full(path)))
            if self.fs.exists(self._full(path)):
                return False
            self.fs.put_file(str(source), self._full(path))
            return True

    def exists(self, path: str) -> bool:
        """Whether something is stored there."""
        try:
            return bool(self.fs.exists(self._full(path)))
        except Exception as error:
            raise self._trouble("read", path, error) from error

    def open(self, path: str) -> BinaryIO:
        """Open a stored file for reading, with seek."""
        try:
            stream: BinaryIO = self.fs.open(self._full(path), "rb")
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._trouble("read", path, error) from error
        return stream

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of what lies in a folder; none if there is no such folder."""
        try:
            self.fs.invalidate_cache()
            entries = self.fs.ls(self._full(folder), detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise self._trouble("list", folder, error) from error
        names = (str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in entries)
        return sorted(name for name in names if name and not name.startswith("."))

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Lend a temporary local folder, on the storage's own disk where that makes publishing a rename.

        Trouble of its disk, whoever meets it there, is a StorageError that names it.
        """
        with self._temporary_folder() as folder:
            try:
                yield folder
            except OSError as error:
                place, reason = error.filename or folder, error.strerror or error
                raise StorageError(f"can't use {place}: {reason}; check its disk, then resume") from error

    @contextmanager
    def _temporary_folder(self) -> Iterator[Path]:
        if not self.is_local:
            with tempfile.TemporaryDirectory(prefix="adreel-") as folder:
                yield Path(folder)
            return
        local = Path(self._full(WORKSPACE)) / uuid4().hex
        with self._writing(WORKSPACE):
            local.mkdir(parents=True)
        try:
            yield local
        finally:
            shutil.rmtree(local, ignore_errors=True)

    def leftovers(self, before: datetime) -> list[str]:
        """Return the sorted paths of temporary files and folders on a local disk that nobody touched since then."""
        if not self.is_local:
            return []
        root, found = Path(self.root), []
        for folder, folders, files in os.walk(root):
            names = [name for name in files if re.fullmatch(TEMPORARY, name)]
            if Path(folder) == root / WORKSPACE:
                names = [*folders, *files]
                folders.clear()
            found += [path for name in names if _touched(path := Path(folder, name)) < before.timestamp()]
        return sorted(str(path.relative_to(root)) for path in found)

    def _full(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise self._trouble("write", path, error) from error

    def _trouble(self, verb: str, path: str, error: Exception) -> StorageError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return StorageError(f"can't {verb} {self.location(path)}: {reason}; check ADREEL_STORAGE and its permissions")


def _replace(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        crash_point("temporary written")
        temporary.replace(target)
        crash_point("renamed")
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _link(source: Path, target: Path) -> bool:
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
