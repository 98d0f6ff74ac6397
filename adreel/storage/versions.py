"""Versions of the records that this process has seen, so that a conditional put needs no read before it.

A version may be outdated. The condition of the put detects that, and the update starts again with a read.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

MAX_BYTES = 8 * 1024 * 1024
MAX_RECORD_BYTES = 64 * 1024
"""A larger record is read again."""
ENTRY_BYTES = 500
"""Memory of an entry, without its content."""


@dataclass(frozen=True)
class Version:
    """The content of a record, None for a missing one, and its ETag."""

    content: bytes | None
    etag: str = ""
    is_own: bool = False
    """Whether this process wrote it."""

    @property
    def size(self) -> int:
        """Return its memory in bytes."""
        return ENTRY_BYTES + len(self.content or b"")


class Versions:
    """The last seen versions, up to a number of bytes in total."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._versions: OrderedDict[str, Version] = OrderedDict()
        self._lock = Lock()
        self.honours_conditions: dict[str, bool] = {}
        """Whether the server refuses a put whose condition fails, by bucket."""
        self.probing = Lock()

    def get(self, path: str) -> Version | None:
        """Return the last seen version of a record."""
        with self._lock:
            return self._versions.get(path)

    def keep(self, path: str, version: Version) -> None:
        """Keep a version; the oldest ones go."""
        if len(version.content or b"") > MAX_RECORD_BYTES:
            self.forget(path)
            return
        with self._lock:
            self._drop(path)
            self._versions[path] = version
            self._bytes += version.size
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._versions)))

    def forget(self, path: str) -> None:
        """Forget a record, so that the next update reads it."""
        with self._lock:
            self._drop(path)

    def clear(self) -> None:
        """Forget everything, as a new process does."""
        with self._lock:
            self._versions.clear()
            self._bytes = 0
        self.honours_conditions.clear()

    def _drop(self, path: str) -> None:
        if (dropped := self._versions.pop(path, None)) is not None:
            self._bytes -= dropped.size


# fsspec returns the same file system object for each task, so the versions are kept per object.
_known: WeakKeyDictionary[Any, Versions] = WeakKeyDictionary()


def versions_of(fs: Any) -> Versions:
    """Return the versions of a file system, which all its storages in this process share."""
    return _known.setdefault(fs, Versions())
