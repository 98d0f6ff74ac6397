"""The SQLite file of the index. A file that is missing, damaged or of another version is made anew."""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from adreel.errors import StorageUnavailable

VERSION = 7
"""To be raised with each change of the tables, or of what is derived from the records."""
BUSY_SECONDS = 10.0
MEMORY = ":memory:"
TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE announced (period TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (period, entry)) WITHOUT ROWID;
CREATE TABLE sessions (
    session_id TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL, state TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, cost INTEGER NOT NULL, read_at INTEGER NOT NULL,
    campaign TEXT NOT NULL
);
CREATE INDEX by_created ON sessions (created_at, session_id);
CREATE INDEX by_updated ON sessions (updated_at, session_id);
CREATE INDEX by_cost ON sessions (cost, session_id);
CREATE INDEX by_state ON sessions (state, created_at, session_id);
CREATE INDEX by_campaign ON sessions (campaign, created_at, session_id);
CREATE TABLE summaries (session_id TEXT NOT NULL PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE jobs (
    job_id TEXT NOT NULL PRIMARY KEY, session_id TEXT NOT NULL, campaign TEXT NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_of_session ON jobs (session_id);
CREATE INDEX jobs_by_state ON jobs (state);
CREATE TABLE scenes (
    job_id TEXT NOT NULL, scenario TEXT NOT NULL, session_id TEXT NOT NULL, state TEXT NOT NULL,
    cost INTEGER NOT NULL, is_cost_unknown INTEGER NOT NULL, seconds REAL, silent_since REAL,
    model TEXT NOT NULL, campaign TEXT NOT NULL, is_local INTEGER NOT NULL, is_pruned INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, scenario)
) WITHOUT ROWID;
CREATE INDEX scenes_of_session ON scenes (session_id);
CREATE TABLE ads (
    campaign TEXT NOT NULL, rank INTEGER NOT NULL, session_id TEXT NOT NULL, product_name TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    estimated INTEGER NOT NULL, billed INTEGER NOT NULL, unknown_bills INTEGER NOT NULL, error TEXT NOT NULL,
    product TEXT NOT NULL, variant TEXT NOT NULL, poster TEXT NOT NULL,
    PRIMARY KEY (campaign, rank, session_id)
) WITHOUT ROWID;
CREATE INDEX ads_of_session ON ads (session_id);
CREATE TABLE takes (
    session_id TEXT NOT NULL, scenario TEXT NOT NULL, job_id TEXT NOT NULL, day TEXT NOT NULL, model TEXT NOT NULL,
    campaign TEXT NOT NULL, is_local INTEGER NOT NULL, clips INTEGER NOT NULL, estimated INTEGER NOT NULL,
    without_estimate INTEGER NOT NULL, billed INTEGER NOT NULL, unknown INTEGER NOT NULL, is_used INTEGER NOT NULL,
    is_finished INTEGER NOT NULL, duration REAL NOT NULL, seconds REAL, PRIMARY KEY (session_id, scenario, job_id)
) WITHOUT ROWID;
CREATE INDEX takes_by_length ON takes (model, duration, is_local, day);
"""

log = logging.getLogger("adreel.index")


class IndexReset(StorageUnavailable):
    """The file was made anew: what was in it has to be read from the records again."""


class Database:
    """One connection for all threads of the process. `path` is None for an index in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = self._open()

    @property
    def is_kept(self) -> bool:
        """Whether it outlives this process."""
        return self.path is not None

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._lock, self._recovering():
            return self._connection.execute(sql, parameters).fetchall()

    def read_apart(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query over whole tables, by a connection of its own: no other query waits for it."""
        if self.path is not None:
            # A broken file is repaired by the connection of all other queries.
            with suppress(sqlite3.Error):
                connection = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", timeout=BUSY_SECONDS, uri=True)
                with closing(connection):
                    return connection.execute(sql, parameters).fetchall()
        return self.read(sql, parameters)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold a transaction, which is undone if the body raises."""
        with self._lock, self._recovering():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def fact(self, name: str) -> str:
        """Return a remembered value, "" if there is none."""
        rows = self.read("SELECT value FROM facts WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def remember(self, **facts: str) -> None:
        """Store named values."""
        with self.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def check_file(self) -> None:
        """Open the file again if it was deleted or replaced; raises IndexReset then."""
        with self._lock:
            if self.path is not None and self._identity != _identity_of(self.path):
                self._connection.close()
                self._connection = self._open()
                raise IndexReset("the file of the index was removed")

    def clear(self) -> None:
        """Make the file anew."""
        with self._lock:
            self._connection.close()
            self._remove_files()
            self._connection = self._open()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _recovering(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise StorageUnavailable(f"the index {self.path} is in use by another process for too long") from error
            log.warning("the index %s is built again: %s", self.path, error)
            self._connection.close()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                self._remove_files()
            else:
                # The disk is full, or the folder can't be written.
                self.path = None
            self._connection = self._open()
            raise IndexReset(f"the index can't be used: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self.path is not None:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                try:
                    return self._connect(str(self.path))
                except sqlite3.DatabaseError as error:
                    if isinstance(error, sqlite3.OperationalError):
                        raise
                    self._remove_files()
                    return self._connect(str(self.path))
            except (OSError, sqlite3.Error) as error:
                log.warning("the index is kept in memory, because %s can't be used: %s", self.path, error)
                self.path = None
        return self._connect(MEMORY)

    def _connect(self, place: str) -> sqlite3.Connection:
        if self.path is not None and not self.path.exists():
            self._remove_files()
        connection = sqlite3.connect(place, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        if version not in {0, VERSION}:
            connection.close()
            raise sqlite3.DatabaseError(f"the index has version {version}, not {VERSION}")
        self._identity = _identity_of(self.path) if self.path else None
        return connection

    def _remove_files(self) -> None:
        if self.path is not None:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - one system call
    except OSError:
        return None
    return found.st_dev, found.st_ino
