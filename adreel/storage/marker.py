"""The marker of a storage, a small file with an id: it tells an empty storage from one that is gone.

It is made together with the first record. A process that has seen it knows that nothing is "not there" without it: the
mount is lost, or the folder or bucket is another one. See docs/decisions/0015-storage-marker.md.
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
"""How long a store of another machine counts as there after it was seen; a disk is looked at each time."""


@dataclass
class _Seen:
    """What this process knows of a storage's marker: its id (None: there was none), and when it was last looked for."""

    storage_id: str | None = None
    at: float | None = None


_seen: WeakKeyDictionary[Any, dict[str, _Seen]] = WeakKeyDictionary()


class Marker:
    """The marker of the storage at a root; `expected` is the id of ADREEL_STORAGE_ID."""

    def __init__(self, files: Objects, root: str, url: str, *, is_local: bool, expected: str | None) -> None:
        self._files, self._path, self._url = files, f"{root.rstrip('/')}/{MARKER}", url
        self._is_local, self._expected = is_local, expected
        # File systems are opened anew for each task, and are the same object again: so what was seen is kept by them.
        self._known = _seen.setdefault(files.fs, {}).setdefault(root, _Seen())

    @property
    def storage_id(self) -> str | None:
        """The id of the storage, as far as this process knows."""
        return self._known.storage_id

    def enter(self) -> None:
        """Look for the marker before the first use; of a disk, before each."""
        if self._known.at is None or self._is_local:
            self.look()

    def confirm(self) -> None:
        """Look for the marker where something else is missing."""
        if not self._is_local and time.monotonic() - (self._known.at or 0) > FRESH_SECONDS:
            self.look()

    def look(self) -> None:
        """Raise StorageUnavailable if the marker is gone, StorageError if it is another storage's."""
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
        """Mark a storage that has no marker yet: a new one, or one of an earlier adreel."""
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
