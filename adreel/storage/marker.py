"""The marker of a storage: a small file with an ID that distinguishes an empty storage from a lost one.

The first record creates it. Once a process has seen the marker, its absence means that the mount is lost, or that the
folder or bucket is another one. See docs/decisions/0015-storage-marker.md.
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from adreel.errors import StorageError, StorageUnavailable
from adreel.storage.backend import StorageBackend

MARKER = "adreel-storage.json"
MARKER_BYTES = 4096
FRESH_SECONDS = 5.0
"""Seconds for which a seen marker of a remote store stays valid; on a disk it is checked each time."""


@dataclass
class _Seen:
    """Last known state of a marker: its ID, None for a new storage, its stamp, and the time of the last check."""

    storage_id: str | None = None
    stamp: object | None = None
    at: float | None = None


_seen: WeakKeyDictionary[Any, dict[str, _Seen]] = WeakKeyDictionary()


class Marker:
    """The marker of the storage at a root; `expected` is the ID of ADREEL_STORAGE_ID."""

    def __init__(self, backend: StorageBackend, root: str, url: str, *, is_local: bool, expected: str | None) -> None:
        self._backend, self._path, self._url = backend, f"{root.rstrip('/')}/{MARKER}", url
        self._is_local, self._expected = is_local, expected
        # fsspec returns the same file system object for each task, so the seen state is kept per object.
        self._known = _seen.setdefault(backend.fs, {}).setdefault(root, _Seen())

    @property
    def storage_id(self) -> str | None:
        """The ID of the storage, as last seen by this process."""
        return self._known.storage_id

    def enter(self) -> None:
        """Check the marker before the first use, on a disk before each use."""
        if self._known.at is None or self._is_local:
            self.verify()

    def confirm(self) -> None:
        """Check the marker after another file was not found."""
        if not self._is_local and time.monotonic() - (self._known.at or 0) > FRESH_SECONDS:
            self.verify()

    def verify(self) -> None:
        """Raise StorageUnavailable if the marker is gone, StorageError if it belongs to another storage."""
        found = stamp = None
        with suppress(FileNotFoundError):
            stamp = self._backend.stamp(self._path)
            is_unchanged = stamp is not None and stamp == self._known.stamp
            found = self._known.storage_id if is_unchanged else self._read_id()
        wanted = self._expected or self._known.storage_id
        if wanted is not None and found is None:
            raise StorageUnavailable(
                f"the storage at {self._url} is gone: its {MARKER} is missing. Is the disk mounted, and is it the same"
                " bucket? Nothing is written there. If the file was removed on purpose, unset ADREEL_STORAGE_ID and"
                " restart this process"
            )
        if wanted is not None and found != wanted:
            raise StorageError(
                f"another storage is at {self._url}: its {MARKER} has the ID {found}, not {wanted}; check"
                " ADREEL_STORAGE and ADREEL_STORAGE_ID, and what is mounted there"
            )
        self._known.storage_id, self._known.stamp, self._known.at = found, stamp, time.monotonic()

    def _read_id(self) -> str:
        try:
            return str(json.loads(self._backend.read(self._path, MARKER_BYTES))["id"])
        except (ValueError, LookupError, TypeError):
            raise StorageError(f"{self._url}/{MARKER} is not a valid marker: restore it or move it away") from None

    def create(self) -> None:
        """Create the marker of a storage that has none: a new one, or one of an earlier adreel."""
        if self._known.storage_id is None:
            about = "marks this folder as a storage of adreel: keep it"
            new = json.dumps({"id": uuid4().hex, "about": about}).encode() + b"\n"
            self._backend.update(self._path, lambda old: new if old is None else None)
            self.verify()
