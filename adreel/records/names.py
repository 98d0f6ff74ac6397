"""Names of a storage in a temporary file, so that any number of them takes little memory."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from threading import Lock
from types import TracebackType
from typing import Self

from adreel.storage import Storage

CACHE_KIB = 4096
"""Memory for the names. The rest is in a file that has no name and is gone with the process."""


class StoredNames:
    """The names in some folders of a storage, at the time when `read` has listed them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection = sqlite3.connect("", check_same_thread=False)
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # Names on a disk may be no UTF-8.
        self._connection.execute(
            "CREATE TABLE names (folder TEXT, name BLOB, is_used INTEGER DEFAULT 0, PRIMARY KEY (folder, name))"
            " WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def read(self, storage: Storage, folder: str) -> None:
        """List a folder."""
        self.add(folder, storage.each_name(folder))

    def add(self, folder: str, names: Iterable[str]) -> None:
        """Add names."""
        rows = ((folder, os.fsencode(name)) for name in names)
        with self._lock, self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO names (folder, name) VALUES (?, ?)", rows)

    def has(self, folder: str, name: str) -> bool:
        """Whether a folder has a name."""
        sql = "SELECT 1 FROM names WHERE folder = ? AND name = ?"
        with self._lock:
            return self._connection.execute(sql, (folder, os.fsencode(name))).fetchone() is not None

    def use(self, folder: str, names: list[str]) -> None:
        """Mark names as used."""
        rows = [(folder, os.fsencode(name)) for name in names]
        with self._lock, self._connection:
            self._connection.executemany("UPDATE names SET is_used = 1 WHERE folder = ? AND name = ?", rows)

    def pages(self, folder: str, size: int, *, unused: bool = False) -> Iterator[list[str]]:
        """Yield the names of a folder in order, at most `size` at a time; with `unused` those that are not used."""
        last = b""
        sql = "SELECT name FROM names WHERE folder = ? AND name > ? AND NOT (? AND is_used) ORDER BY name LIMIT ?"
        while True:
            with self._lock:
                page = [name for [name] in self._connection.execute(sql, (folder, last, unused, size))]
            if not page:
                return
            last = page[-1]
            yield [os.fsdecode(name) for name in page]
