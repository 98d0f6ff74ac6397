"""Where clips and records live: any fsspec URL, named here by intent.

Whole or not at all, on every backend; what else each of them promises is in docs/storage.md. Nothing else in the
project touches fsspec.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from adreel.errors import AdreelError, StorageError
from adreel.settings import Settings
from adreel.storage.connecting import connect, secrets, without, without_password
from adreel.storage.local import WORKSPACE, LocalDisk

__all__ = ["Storage"]


class Storage:
    """A folder on some file system; paths are relative to it, with '/' between their parts.

    `options` go to the file system as they are: address, region, keys.
    """

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        self._files, self.root = connect(url, options or {})
        self.fs = self._files.fs
        self.url = without_password(url)
        self._hidden = secrets(url, options or {})
        self.is_local = isinstance(self._files, LocalDisk)

    @classmethod
    def of(cls, settings: Settings) -> "Storage":
        """Open the storage of the settings."""
        return cls(settings.storage, settings.file_system_options)

    def location(self, path: str) -> str:
        """Return where a path is, for people: a file name on a local disk, else a URL."""
        full = self._full(path)
        if self.is_local or not self.url.startswith(("sftp://", "ssh://")):
            return full if self.is_local else str(self.fs.unstrip_protocol(full))
        return f"{self.url.rstrip('/')}/{path}" if path else self.url

    def read(self, path: str) -> bytes:
        """Return the content of a small file; FileNotFoundError if there is none."""
        with self._trouble("read", path):
            return self._files.read(self._full(path))

    def write(self, path: str, content: bytes) -> None:
        """Put a small file in place, whole or not at all, replacing an earlier one."""
        with self._trouble("write", path, finding=False):
            self._files.write(self._full(path), content)

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace a small file by what `change` makes of it (None: there is none) and return what stands then.

        Where the backend can, nobody else's write is lost: `change` may be called again. It returns None to leave
        the file as it is; what it raises is raised, and nothing is written.
        """
        failure: Exception | None = None

        def guarded(content: bytes | None) -> bytes | None:
            nonlocal failure
            try:
                return change(content)
            except Exception as error:
                failure = error
                raise

        try:
            with self._trouble("write", path, finding=False):
                return self._files.update(self._full(path), guarded)
        except StorageError:
            if failure is not None:
                raise failure from failure.__cause__
            raise

    def publish(self, source: Path, path: str) -> bool:
        """Put a finished local file in place; False if something is there already, which stays as it is."""
        with self._trouble("write", path, finding=False):
            return self._files.publish(source, self._full(path))

    def exists(self, path: str) -> bool:
        """Whether something is stored there."""
        with self._trouble("read", path):
            return bool(self.fs.exists(self._full(path)))

    def size(self, path: str) -> int:
        """Return how many bytes a file has; FileNotFoundError if there is none."""
        with self._trouble("read", path):
            return int(self.fs.size(self._full(path)))

    def open(self, path: str) -> BinaryIO:
        """Open a stored file for reading, with seek: what is not asked for is not fetched, but for 4 MiB."""
        with self._trouble("read", path):
            return self._files.open(self._full(path))

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of what lies in a folder, as of now; none if there is no such folder."""
        full = self._full(folder).rstrip("/") or "/"
        try:
            with self._trouble("list", folder):
                entries = [entry.rstrip("/") for entry in self._files.names(full)]
        except FileNotFoundError:
            return []
        names = {entry.rsplit("/", 1)[-1] for entry in entries if entry != full}
        return sorted(name for name in names if name and not name.startswith("."))

    def remove(self, path: str) -> None:
        """Remove a file; what is gone already is fine."""
        try:
            with self._trouble("remove", path):
                self._files.remove(self._full(path))
        except FileNotFoundError:
            pass

    def sign(self, path: str, seconds: int) -> str | None:
        """Return a URL by which anybody can read a file for so many seconds; None if the backend has no such thing."""
        with self._trouble("sign", path):
            return self._files.sign(self._full(path), seconds)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Lend a temporary local folder, on the storage's own disk where that makes publishing a rename.

        Trouble of its disk, whoever meets it there, is a StorageError that names it.
        """
        try:
            with self._temporary_folder() as folder:
                yield folder
        except OSError as error:
            place = error.filename or (self.location(WORKSPACE) if self.is_local else tempfile.gettempdir())
            raise StorageError(f"can't use {place}: {error.strerror or error}; check its disk, then resume") from error

    @contextmanager
    def _temporary_folder(self) -> Iterator[Path]:
        if not self.is_local:
            with tempfile.TemporaryDirectory(prefix="adreel-", ignore_cleanup_errors=True) as folder:
                yield Path(folder)
            return
        local = Path(self._full(WORKSPACE)) / uuid4().hex
        with self._trouble("write", WORKSPACE, finding=False):
            local.mkdir(parents=True)
        try:
            yield local
        finally:
            shutil.rmtree(local, ignore_errors=True)

    def leftovers(self, before: datetime) -> list[str]:
        """Return, sorted, what killed writers left and nobody touched since then: temporary files, unended uploads."""
        with self._trouble("list", ""):
            return sorted(self._files.leftovers(self.root, before))

    def _full(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    @contextmanager
    def _trouble(self, verb: str, path: str, *, finding: bool = True) -> Iterator[None]:
        """Turn whatever a file system raises into a StorageError; that nothing is there only if it was not asked."""
        try:
            yield
        except AdreelError:
            raise
        except Exception as error:
            if finding and isinstance(error, FileNotFoundError):
                raise
            place, reason = self.location(path), without(self._hidden, error) or type(error).__name__
            raise StorageError(f"can't {verb} {place}: {reason}; check ADREEL_STORAGE and its permissions") from error
