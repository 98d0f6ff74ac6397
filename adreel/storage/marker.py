"""The marker of a storage: a small file with an id that distinguishes an empty storage from a lost one.

The first record creates it. Once a process has seen the marker, its absence means that the mount is lost, or that the
folder or bucket is another one. See docs/decisions/0015-storage-marker.md.
"""

import json
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from adreel.errors import StorageError, StorageUnavailable
from adreel.storage.objects import Objects

MARKER = "adreel-storage.json"
MOST_BYTES = 4096
FRESH_SECONDS = 5.0
"""Seconds for which a seen marker of a remote store stays valid; on a disk it is checked each time."""


@dataclass
class _Seen:
    """Last known state of a marker: its id, None for a new storage, and the time of the last check."""

    storage_id: str | None = None
    at: float | None = None


_seen: WeakKeyDictionary[Any, dict[str, _Seen]] = WeakKeyDictionary()


class Marker:
    """The marker of the storage at a root; `expected` is the id of ADREEL_STORAGE_ID."""

    def __init__(self, files: Objects, root: str, url: str, *, is_local: bool, expected: str | None) -> None:
        self._files, self._path, self._url = files, f"{root.rstrip('/')}/{MARKER}", url
        self._is_local, self._expected = is_local, expected
        # fsspec returns the same file system object for each task, so the seen state is kept per object.
        self._known = _seen.setdefault(files.fs, {}).setdefault(root, _Seen())

    @property
    def storage_id(self) -> str | None:
        """The id of the storage, as last seen by this process."""
        return self._known.storage_id

    def enter(self) -> None:
        """Check the marker before the first use, on a disk before each use."""
        if self._known.at is None or self._is_local:
            self.look()

    def confirm(self) -> None:
        """Check the marker after another file was not found."""
        if not self._is_local and time.monotonic() - (self._known.at or 0) > FRESH_SECONDS:
            self.look()

    def look(self) -> None:
        """Raise StorageUnavailable if the marker is gone, StorageError if it belongs to another storage."""
        found = self._read()
        wanted = self._expected or self._known.storage_id
        if wanted is not None and found is None:
            raise StorageUnavailable(
                f"the storage at {self._url} is gone: its {MARKER} is missing. Is the disk mounted, is it the same"
                " bucket? Nothing is written there. If it was removed on purpose, restart this process and take"
                " ADREEL_STORAGE_ID away"
            )
        if wanted is not None and found != wanted:
            raise StorageError(
                f"another storage lies at {self._url}: its {MARKER} has the id {found}, not {wanted}; check"
                " ADREEL_STORAGE and ADREEL_STORAGE_ID, and what is mounted there"
            )
        self._known.storage_id, self._known.at = found, time.monotonic()

    def make(self) -> None:
        """Create the marker of a storage without one: a new one, or one of an earlier adreel."""
        if self._known.storage_id is None:
            new = (
                json.dumps({"id": uuid4().hex, "about": "marks this as a storage of adreel: keep it"}).encode() + b"\n"
            )
            self._files.update(self._path, lambda old: new if old is None else None)
            self.look()

    def _read(self) -> str | None:
        try:
            content = self._files.read(self._path, MOST_BYTES)
        except FileNotFoundError:
            return None
        try:
            return str(json.loads(content)["id"])
        except (ValueError, LookupError, TypeError):
            raise StorageError(f"{self._url}/{MARKER} is no marker of a storage: restore it or move it away") from None
