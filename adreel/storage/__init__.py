"""The storage of clips and records on any fsspec URL.

Each write is complete or has no effect. The other guarantees of each backend are in docs/storage.md. No other package
uses fsspec.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

from adreel.errors import AdreelError, StorageError, StorageUnavailable
from adreel.settings import Settings
from adreel.storage.check import check
from adreel.storage.connecting import accounts_of, connect, hide_password, reason_of, secrets_of
from adreel.storage.local import WORKSPACE, LocalDisk, make_folder
from adreel.storage.marker import MARKER, Marker
from adreel.storage.outages import is_outage

__all__ = ["Storage"]

T = TypeVar("T")
RETRY_PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Pauses in seconds between tries of an operation while the storage is unavailable; the task retries for longer."""
RETRY_SECONDS = 10.0
"""Seconds after which an operation is not retried here."""
_random = Random()  # noqa: S311 - jitter, not a secret


class Storage:
    """A folder on some file system; paths are relative to it, separated by '/'.

    `options` are passed to the file system: endpoint, region, keys. `storage_id` is the ID that its marker must have.
    `sleep` waits between the tries of an operation. `setting` is what messages advise to check.
    """

    def __init__(
        self,
        url: str,
        options: dict[str, Any] | None = None,
        *,
        storage_id: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        setting: str = "ADREEL_STORAGE",
    ) -> None:
        self._files, self.root = connect(url, options or {}, setting)
        self._setting = setting
        self.fs = self._files.fs
        self.url = hide_password(url)
        self._accounts = accounts_of(options or {})
        self._secrets = secrets_of(url, options or {})
        self.is_local = isinstance(self._files, LocalDisk)
        self.is_conditional = self._files.conditional
        self.is_concurrent = self._files.concurrent
        self.is_atomic = self._files.atomic
        self.part_size = self._files.part_size
        self._expected_id = storage_id
        self._sleep = sleep
        self._watches_marker = False

    @classmethod
    def from_settings(cls, settings: Settings) -> "Storage":
        """Open the storage of the settings."""
        return cls(settings.storage, settings.file_system_options, storage_id=settings.storage_id)

    @property
    def storage_id(self) -> str | None:
        """The ID of its marker, as last seen by this process; None for a new storage."""
        return marker.storage_id if (marker := self._marker()) else None

    def watch_marker(self) -> None:
        """From now on, detect a lost storage by its marker, which the first update creates."""
        self._watches_marker = True

    def check(self) -> None:
        """Check each guarantee that adreel needs, with small files; StorageError names the first broken one."""
        check(self)

    def location(self, path: str) -> str:
        """Return a path as people know it: a file name on a local disk, else a URL."""
        full = self._full(path)
        if self.is_local:
            return full
        if self.url.startswith(("sftp://", "ssh://")):
            return f"{self.url.rstrip('/')}/{path}" if path else self.url
        return str(self.fs.unstrip_protocol(full))

    @property
    def identity(self) -> str:
        """What distinguishes it from other storages: its location, and the endpoint and account of its options."""
        return " ".join([self.location(""), *self._accounts])

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return the content of a file, at most so many bytes; FileNotFoundError if it is missing."""
        return self._retry("read", path, lambda: self._files.read(self._full(path), most))

    def write(self, path: str, content: bytes) -> None:
        """Create or replace a small file."""
        self._retry("write", path, lambda: self._files.write(self._full(path), content))

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace the content of a small file by `change(content)` and return the new content.

        `change` gets None for a missing file, and is called again if another writer was faster. If it returns None, the
        file keeps its content. If it raises, nothing is written. No other writer's update is lost, if the backend
        supports that.
        """
        failure: Exception | None = None
        sent: bytes | None = None
        unconfirmed: bytes | None = None

        def guarded(content: bytes | None) -> bytes | None:
            nonlocal failure, sent
            failure = None
            if unconfirmed is not None and content == unconfirmed:
                return None
            if content is None:
                self._confirm_missing(None)
            try:
                sent = change(content)
            except Exception as error:
                failure = error
                raise
            if sent is not None and (marker := self._marker()):
                marker.create()
            return sent

        def update() -> bytes | None:
            nonlocal unconfirmed
            try:
                return self._files.update(self._full(path), guarded)
            except Exception as error:
                # The response was lost. The next try finds out whether the write succeeded.
                unconfirmed = sent if is_outage(error) else None
                raise

        try:
            return self._retry("write", path, update)
        except StorageError:
            if failure is not None:
                raise failure from failure.__cause__
            raise

    def assume_missing(self, path: str) -> None:
        """Let the next update create a file without a read before it. If the file exists, the update reads it."""
        self._files.assume_missing(self._full(path))

    def own_version(self, path: str) -> bytes | None:
        """Return the content that this process last wrote by an update, without a request; None if it is not known.

        Another process may have changed the file since then.
        """
        return self._files.own_version(self._full(path))

    def publish(self, source: Path, path: str) -> bool:
        """Upload a local file; False if the path exists, whose content stays.

        After a lost response the existing content may be that of the file itself: compare it.
        """
        return self._retry("write", path, lambda: self._files.publish(source, self._full(path)))

    def exists(self, path: str) -> bool:
        """Whether a path is a file or a folder."""
        return self._retry("read", path, lambda: self._files.exists(self._full(path)) or self._confirm_missing(False))

    def size(self, path: str) -> int:
        """Return the size of a file in bytes; FileNotFoundError if it is missing."""
        return self._retry("read", path, lambda: self._files.size(self._full(path)))

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, with seek. At most 4 MiB are fetched beyond what is read."""
        return self._retry("read", path, lambda: self._files.open(self._full(path)))

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder, uncached; none if the folder is missing.

        The marker and hidden files are left out.
        """
        full = self._full(folder).rstrip("/") or "/"
        try:
            entries = self._retry("list", folder, lambda: self._files.names(full) or self._confirm_missing([]))
        except FileNotFoundError:
            return []
        return sorted(set(_names_of(entries, full)))

    def each_name(self, folder: str) -> Iterator[str]:
        """Yield the names of a folder. On S3, a thousand of them are in memory at a time."""
        full = self._full(folder).rstrip("/") or "/"
        after: str | None = None

        def read_page() -> tuple[list[str], str | None]:
            page = self._files.name_page(full, after)
            return page if any(page) else self._confirm_missing(page)

        while True:
            try:
                entries, after = self._retry("list", folder, read_page)
            except FileNotFoundError:
                return
            yield from sorted(set(_names_of(entries, full)))
            if after is None:
                return

    def files(self, folder: str) -> list[str]:
        """Return the sorted paths of the files below a folder, relative to it and uncached; none if it is missing.

        The marker and hidden files are left out. On an object store it is one request for a thousand files.
        """
        full = self._full(folder).rstrip("/")
        try:
            found = self._retry("list", folder, lambda: self._files.files(full or "/") or self._confirm_missing([]))
        except FileNotFoundError:
            return []
        names = {path.removeprefix(full).lstrip("/") for path in found}
        return sorted(name for name in names - {MARKER} if name and not name.rpartition("/")[2].startswith("."))

    def remove_folder(self, folder: str) -> None:
        """Remove an empty folder. Object stores have none."""
        self._run("remove", folder, lambda: self._files.remove_folder(self._full(folder)))

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            self._retry("remove", path, lambda: self._files.remove(self._full(path)))

    def sign(self, path: str, seconds: int) -> str | None:
        """Return a URL by which anybody can read the file for so many seconds; None if that is not supported."""
        with self._storage_errors("sign", path):
            return self._files.sign(self._full(path), seconds)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Create a temporary local folder, on the storage's own disk if it is local, so that publishing is a rename.

        Errors of the folder's disk, in the body as well, are StorageErrors that name the file.
        """
        try:
            if not self.is_local:
                with tempfile.TemporaryDirectory(prefix="adreel-", ignore_cleanup_errors=True) as temporary:
                    yield Path(temporary)
                return
            folder = Path(self._full(WORKSPACE)) / uuid4().hex
            self._retry("write", WORKSPACE, lambda: make_folder(folder))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            place = error.filename or (self.location(WORKSPACE) if self.is_local else tempfile.gettempdir())
            raise StorageError(f"can't use {place}: {error.strerror or error}; check its disk, then resume") from error

    def leftovers(self, before: datetime) -> list[str]:
        """Return the sorted temporary files and unfinished uploads of killed writers, last changed before a time."""
        with self._storage_errors("list", ""):
            return sorted(self._files.leftovers(self.root, before))

    def _full(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    def _marker(self) -> Marker | None:
        if not self._watches_marker:
            return None
        return Marker(self._files, self.root, self.url, is_local=self.is_local, expected=self._expected_id)

    def _confirm_missing(self, answer: T) -> T:
        """Return the answer for a missing file, once it is sure that the storage itself is not missing."""
        if marker := self._marker():
            marker.confirm()
        return answer

    def _retry(self, verb: str, path: str, operation: Callable[[], T]) -> T:
        """Run an idempotent operation, and retry it while the storage is unavailable."""
        end = time.monotonic() + RETRY_SECONDS
        for pause in RETRY_PAUSES:
            try:
                return self._run(verb, path, operation)
            except StorageUnavailable as error:
                # A missing marker is an error without a cause: a lost mount is not back within seconds.
                if error.__cause__ is None or time.monotonic() + pause > end:
                    raise
                self._sleep(pause * _random.uniform(0.5, 1.5))
        return self._run(verb, path, operation)

    def _run(self, verb: str, path: str, operation: Callable[[], T]) -> T:
        try:
            with self._storage_errors(verb, path):
                if marker := self._marker():
                    marker.enter()
                return operation()
        except FileNotFoundError:
            with self._storage_errors(verb, path):
                self._confirm_missing(None)
            raise

    @contextmanager
    def _storage_errors(self, verb: str, path: str) -> Iterator[None]:
        """Convert file-system errors to StorageError. FileNotFoundError passes through, unless a write raised it."""
        try:
            yield
        except AdreelError:
            raise
        except Exception as error:
            if verb != "write" and isinstance(error, FileNotFoundError):
                raise
            place, reason = self.location(path), reason_of(error, self._secrets) or type(error).__name__
            if is_outage(error):
                advice = f"trying again costs nothing; if it lasts, check the store and {self._setting}"
                raise StorageUnavailable(f"can't {verb} {place}: {reason}; {advice}") from error
            raise StorageError(f"can't {verb} {place}: {reason}; check {self._setting} and its permissions") from error


def _names_of(entries: Iterable[str], folder: str) -> Iterator[str]:
    """Yield the names in a folder of its entries, without the marker and hidden files."""
    for entry in entries:
        name = entry.rstrip("/").rsplit("/", 1)[-1]
        if entry.rstrip("/") != folder and name and name != MARKER and not name.startswith("."):
            yield name
