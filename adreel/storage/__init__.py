"""Where clips and records live: any fsspec URL, named here by intent.

Whole or not at all, on every backend; what else each of them promises is in docs/storage.md. Nothing else in the
project touches fsspec.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

from adreel.errors import AdreelError, StorageError, StorageUnavailable
from adreel.settings import Settings
from adreel.storage.check import check
from adreel.storage.connecting import connect, secrets, without, without_password
from adreel.storage.local import WORKSPACE, LocalDisk, make_folder
from adreel.storage.marker import MARKER, Marker
from adreel.storage.outages import is_outage

__all__ = ["Storage"]

T = TypeVar("T")
PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Pauses in seconds between tries of an operation while the storage is unavailable; the task retries for longer."""
PATIENCE = 10.0
"""Seconds after which an operation is not retried in place."""
_dice = Random()  # noqa: S311 - jitter, not a secret


class Storage:
    """A folder on some file system; paths are relative to it, with '/' between their parts.

    `options` go to the file system as they are: address, region, keys. `storage_id` is the id that its marker has to
    have. `sleep` waits between the tries of an operation.
    """

    def __init__(
        self,
        url: str,
        options: dict[str, Any] | None = None,
        *,
        storage_id: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._files, self.root = connect(url, options or {})
        self.fs = self._files.fs
        self.url = without_password(url)
        self._hidden = secrets(url, options or {})
        self.is_local = isinstance(self._files, LocalDisk)
        self._expected_id = storage_id
        self._sleep = sleep
        self._watches = False

    @classmethod
    def of(cls, settings: Settings) -> "Storage":
        """Open the storage of the settings."""
        return cls(settings.storage, settings.file_system_options, storage_id=settings.storage_id)

    @property
    def is_conditional(self) -> bool:
        """Whether updates are conditional puts of an object store."""
        return self._files.conditional

    @property
    def piece(self) -> int:
        """Bytes of a clip in one upload request; 0 if a clip is always one request."""
        return self._files.piece

    @property
    def storage_id(self) -> str | None:
        """The id of its marker, as last seen by this process; None for a new storage."""
        return marker.storage_id if (marker := self._marker()) else None

    def watch_marker(self) -> None:
        """From now on, detect a lost storage by its marker, which the first update creates."""
        self._watches = True

    def check(self) -> None:
        """Check each guarantee that adreel relies on with small files; StorageError names the first broken one."""
        check(self)

    def location(self, path: str) -> str:
        """Return where a path is, for people: a file name on a local disk, else a URL."""
        full = self._full(path)
        if self.is_local or not self.url.startswith(("sftp://", "ssh://")):
            return full if self.is_local else str(self.fs.unstrip_protocol(full))
        return f"{self.url.rstrip('/')}/{path}" if path else self.url

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return the content of a small file of bounded size; FileNotFoundError if it is missing."""
        return self._retried("read", path, lambda: self._files.read(self._full(path), most))

    def write(self, path: str, content: bytes) -> None:
        """Put a small file in place, whole or not at all, replacing an earlier one."""
        self._retried("write", path, lambda: self._files.write(self._full(path), content), finding=False)

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace a small file by what `change` makes of it (None: there is none) and return what stands then.

        Where the backend can, nobody else's write is lost: `change` may be called again. It returns None to leave
        the file as it is; what it raises is raised, and nothing is written.
        """
        failure: Exception | None = None
        sent: bytes | None = None
        lost: bytes | None = None

        def guarded(content: bytes | None) -> bytes | None:
            nonlocal failure, sent
            if lost is not None and content == lost:
                return None
            if content is None:
                self._nothing(None)
            try:
                sent = change(content)
            except Exception as error:
                failure = error
                raise
            if sent is not None and (marker := self._marker()):
                marker.make()
            return sent

        def update() -> bytes | None:
            nonlocal lost
            try:
                return self._files.update(self._full(path), guarded)
            except Exception as error:
                # The answer was lost. The next try finds out whether the write succeeded.
                lost = sent if is_outage(error) else None
                raise

        try:
            return self._retried("write", path, update, finding=False)
        except StorageError:
            if failure is not None:
                raise failure from failure.__cause__
            raise

    def publish(self, source: Path, path: str) -> bool:
        """Publish a local file; False if the name is taken, whose content stays.

        After a lost answer the existing content may be the file itself: compare it.
        """
        return self._retried("write", path, lambda: self._files.publish(source, self._full(path)), finding=False)

    def exists(self, path: str) -> bool:
        """Whether something is stored there."""
        return self._retried("read", path, lambda: self._files.exists(self._full(path)) or self._nothing(False))

    def size(self, path: str) -> int:
        """Return how many bytes a file has; FileNotFoundError if there is none."""
        return self._retried("read", path, lambda: self._files.size(self._full(path)))

    def open(self, path: str) -> BinaryIO:
        """Open a stored file for reading, with seek: what is not asked for is not fetched, but for 4 MiB."""
        return self._retried("read", path, lambda: self._files.open(self._full(path)))

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder, uncached; none without such a folder.

        The marker and hidden files are left out.
        """
        full = self._full(folder).rstrip("/") or "/"
        try:
            entries = self._retried("list", folder, lambda: self._files.names(full) or self._nothing([]))
        except FileNotFoundError:
            return []
        names = {entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry.rstrip("/") != full}
        return sorted(name for name in names - {MARKER} if name and not name.startswith("."))

    def remove(self, path: str) -> None:
        """Remove a file; what is gone already is fine."""
        with suppress(FileNotFoundError):
            self._retried("remove", path, lambda: self._files.remove(self._full(path)))

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
        self._retried("write", WORKSPACE, lambda: make_folder(local), finding=False)
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

    def _marker(self) -> Marker | None:
        if not self._watches:
            return None
        return Marker(self._files, self.root, self.url, is_local=self.is_local, expected=self._expected_id)

    def _nothing(self, answer: T) -> T:
        """Return a "missing" answer after a check that the storage itself is there."""
        if marker := self._marker():
            marker.confirm()
        return answer

    def _enter(self) -> None:
        if marker := self._marker():
            marker.enter()

    def _retried(self, verb: str, path: str, act: Callable[[], T], *, finding: bool = True) -> T:
        """Run a repeatable operation, and retry it while the storage is unavailable."""
        end = time.monotonic() + PATIENCE
        for pause in PAUSES:
            try:
                return self._tried(verb, path, act, finding=finding)
            except StorageUnavailable as error:
                # A lost mount (an error without a cause: the marker is missing) is not back within seconds.
                if error.__cause__ is None or time.monotonic() + pause > end:
                    raise
                self._sleep(pause * _dice.uniform(0.5, 1.5))
        return self._tried(verb, path, act, finding=finding)

    def _tried(self, verb: str, path: str, act: Callable[[], T], *, finding: bool) -> T:
        with self._trouble(verb, path, finding=False):
            self._enter()
        try:
            with self._trouble(verb, path, finding=finding):
                return act()
        except FileNotFoundError:
            with self._trouble(verb, path, finding=False):
                self._nothing(None)
            raise

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
            if is_outage(error):
                advice = "trying again costs nothing; if it lasts, check the store and ADREEL_STORAGE"
                raise StorageUnavailable(f"can't {verb} {place}: {reason}; {advice}") from error
            raise StorageError(f"can't {verb} {place}: {reason}; check ADREEL_STORAGE and its permissions") from error
