"""The index of the sessions of one storage."""

import fcntl
import hashlib
import os
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from adreel.index.database import VERSION, Database, IndexReset
from adreel.index.queries import ARCHIVED, NEW, UNREADABLE, SessionQuery, microseconds
from adreel.index.reading import SessionRow, read_session
from adreel.models.api import SessionPage, SessionSummary
from adreel.models.spend import to_micros
from adreel.models.takes import utc_now
from adreel.records import Records, changes

THREADS = 64
"""Sessions that are read at once: the threads wait for the storage."""
BATCH = 256
OWN_CHANGE_SECONDS = 2.0
"""Maximum wait of a list for the changes that its own process has just made."""
BUILD_WAIT_SECONDS = 1.0
"""Maximum wait of a list for an index that is being built, after the start: small storages need no notice."""
INSERT_SCENE = "INSERT OR REPLACE INTO scenes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
INSERT_TAKE = "INSERT OR REPLACE INTO takes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_AD = "INSERT OR REPLACE INTO ads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
Found = TypeVar("Found")
Progress = Callable[[int, int], None]


class SessionIndex:
    """Lists sessions without reading the storage. `folder` is that of the file."""

    def __init__(self, records: Records, folder: Path | None = None) -> None:
        self.records = records
        place = hashlib.sha256(records.storage.identity.encode()).hexdigest()[:16]
        self.database = Database((folder or cache_folder()) / f"sessions-{place}-v{VERSION}.sqlite")
        self.problem = ""
        """Why the storage can't be read at present."""
        self.is_followed = False
        """Whether a keeper keeps it current."""
        self._own_changes: dict[str, int] = {}
        self._marked = self._applied = 0
        self._is_woken = False
        # Another storage may have taken the place of the one that the file is of.
        self._is_verified = False
        self._changed = threading.Condition()
        self._opened_at = time.monotonic()
        changes.listen(records.storage, self.mark)

    # Lists

    def page(self, query: SessionQuery) -> SessionPage:
        """Return a page of sessions. Changes of this process show at once, those of others within seconds.

        Raises StorageUnavailable if the disk of the storage is gone.
        """
        return self.current(lambda: self._page(query))

    def current(self, read: Callable[[], Found]) -> Found:
        """Call a function that reads the index, once the changes of this process are in it."""
        if self.records.storage.is_local:
            self.records.storage.exists("")
        try:
            if self.is_followed:
                self._wait()
            return read()
        except IndexReset:
            return read()

    def _wait(self) -> None:
        """Wait for the changes that this process has just made, and for a small storage to be read at the start."""
        with self._changed:
            marked = self._marked
            self._changed.wait_for(lambda: self._applied >= marked or self.problem, OWN_CHANGE_SECONDS)
        while not (self._is_verified and self.is_complete) and time.monotonic() < self._opened_at + BUILD_WAIT_SECONDS:
            time.sleep(0.02)

    @property
    def is_complete(self) -> bool:
        """Whether all sessions were read."""
        return bool(self.database.fact("complete"))

    @property
    def count(self) -> int:
        """Number of sessions."""
        return int(self.database.read("SELECT count(*) FROM sessions")[0][0])

    @property
    def notice(self) -> str | None:
        """Why the list may be incomplete or out of date, for people."""
        if not self.is_complete:
            of = f" of {int(total):,}" if (total := self.database.fact("total")) else ""
            return f"This list is being built: {self.count:,}{of} sessions so far."
        return f"This list may be out of date: {self.problem}." if self.problem else None

    def _page(self, query: SessionQuery) -> SessionPage:
        sql, values = query.statement()
        found = self.database.read(
            f"WITH page AS ({sql}) SELECT page.*, content FROM page LEFT JOIN summaries USING (session_id)",  # noqa: S608
            values,
        )
        rows = sorted(found, key=lambda row: (row[1], row[0]), reverse=query.is_descending)
        has_more = 0 < query.limit < len(rows)
        if query.before and not has_more and len(rows) < query.limit:
            return self._page(query.without_cursor())
        if has_more:
            rows = rows[1:] if query.before else rows[: query.limit]
        where, filters = replace(query, state=None, has_archived=True).filters()
        counted = self.database.read(f"SELECT state, count(*) FROM sessions WHERE {where} GROUP BY state", filters)  # noqa: S608
        states: dict[str, int] = dict(counted)
        total = states.get(str(query.state), 0) if query.state else sum(states.values()) - states.get(ARCHIVED, 0)
        page = SessionPage(sessions=[], next=None, total=total, states=states, unreadable=[], notice=self.notice)
        if rows:
            page.next = query.cursor(rows[-1]) if query.before or has_more else None
            page.previous = query.cursor(rows[0]) if query.after or (query.before and has_more) else None
        for *_, content in rows:
            text = zlib.decompress(content)
            if text.startswith(b"{"):
                page.sessions.append(SessionSummary.model_validate_json(text))
            else:
                page.unreadable.append(text.decode())
        return page

    # Changes

    def mark(self, session_id: str) -> None:
        """Note that this process has changed a session."""
        with self._changed:
            self._marked += 1
            self._own_changes[session_id] = self._marked
            self._changed.notify_all()

    def wait_for_change(self, seconds: float) -> None:
        """Wait until this process has changed a session, or `wake` is called."""
        with self._changed:
            self._changed.wait_for(lambda: self._own_changes or self._is_woken, seconds)
            self._is_woken = False

    def wake(self) -> None:
        """End the wait for a change."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def apply_own_changes(self) -> None:
        """Read the sessions again that this process has changed."""
        with self._changed:
            own, marked = self._own_changes, self._marked
            self._own_changes = {}
        try:
            self.refresh(own)
        except BaseException:
            with self._changed:
                self._own_changes = {**own, **self._own_changes}
            raise
        with self._changed:
            self._applied = max(self._applied, marked)
            self._changed.notify_all()

    def _catch_up(self, periods: list[str]) -> None:
        """Read the sessions again that other processes have announced since the last time."""
        storage, now = self.records.storage, utc_now()
        through = self.database.fact("through")
        for period in periods:
            if period <= through:
                continue
            known = {entry for [entry] in self.database.read("SELECT entry FROM announced WHERE period = ?", (period,))}
            new = [entry for entry in changes.entries(storage, period) if entry not in known]
            self.refresh({each for entry in new for each in changes.sessions_of(storage, period, entry)})
            with self.database.write() as connection:
                if changes.is_closed(period, now):
                    connection.execute("DELETE FROM announced WHERE period <= ?", (period,))
                    connection.execute("INSERT OR REPLACE INTO facts VALUES ('through', ?)", (period,))
                else:
                    rows = [(period, entry) for entry in new]
                    connection.executemany("INSERT OR IGNORE INTO announced VALUES (?, ?)", rows)
        self.database.remember(caught_up_at=now.isoformat())

    def refresh(self, session_ids: Collection[str]) -> None:
        """Read sessions again."""
        rows = self._read_all(list(session_ids))
        while batch := list(islice(rows, 100)):
            self._store(batch)

    def refresh_silent(self, older_than: float, limit: int) -> None:
        """Read generating sessions again whose runs have announced nothing for so many seconds: one may be dead."""
        before = time.time_ns() - int(older_than * 1e9)
        sql = "SELECT session_id FROM sessions WHERE state = 'generating' AND read_at < ? ORDER BY read_at LIMIT ?"
        self.refresh([session_id for [session_id] in self.database.read(sql, (before, limit))])

    def refresh_names(self) -> None:
        """Read sessions that the index lacks, and forget those that are gone."""
        stored = set(self.records.session_ids())
        known = {session_id for [session_id] in self.database.read("SELECT session_id FROM sessions")}
        self.refresh(stored ^ known)

    # Building

    def update(self, progress: Progress = lambda _done, _total: None) -> None:
        """Build the index if it is missing, incomplete or too old, then catch up with the announced changes."""
        periods = changes.periods(self.records.storage)
        storage_id, known_id = self.records.storage.storage_id or "", self.database.fact("storage")
        if known_id and known_id != storage_id:
            self.database.clear()
        if storage_id != self.database.fact("storage"):
            self.database.remember(storage=storage_id)
        self._is_verified = True
        caught_up_at = self.database.fact("caught_up_at")
        if caught_up_at and utc_now() - datetime.fromisoformat(caught_up_at) > changes.KEPT:
            self.database.remember(complete="", building="", caught_up_at="")
        if not self.is_complete:
            with self._only_builder() as is_builder:
                if is_builder:
                    self._build(progress)
        self.apply_own_changes()
        self._catch_up(periods)

    def rebuild(self, progress: Progress = lambda _done, _total: None) -> None:
        """Build the index anew."""
        self.database.clear()
        self.update(progress)

    def check(self) -> list[str]:
        """Return a message for each session that the records show differently."""
        stored = set(self.records.session_ids())
        sql = "SELECT session_id, content FROM sessions JOIN summaries USING (session_id)"
        known: dict[str, bytes] = dict(self.database.read(sql))
        findings = [f"{session_id}: it is gone from the storage" for session_id in sorted(known.keys() - stored)]
        for row in self._read_all(sorted(stored)):
            if row.is_gone:
                findings += [f"{row.session_id}: it was deleted"] if row.session_id in known else []
            elif row.session_id not in known:
                findings.append(f"{row.session_id}: it is missing from the index")
            elif known[row.session_id] != _content_of(row):
                findings.append(f"{row.session_id}: the index shows an earlier state")
        return findings

    def _build(self, progress: Progress) -> None:
        if not self.database.fact("building"):
            # What was announced before the sessions are read needs no second reading.
            storage = self.records.storage
            rows = [
                (period, entry) for period in changes.periods(storage) for entry in changes.entries(storage, period)
            ]
            with self.database.write() as connection:
                connection.executemany("INSERT OR IGNORE INTO announced VALUES (?, ?)", rows)
            self.database.remember(building=str(time.time_ns()))
        began = int(self.database.fact("building"))
        session_ids = self.records.session_ids()
        sql = "SELECT session_id FROM sessions WHERE read_at >= ?"
        fresh = {session_id for [session_id] in self.database.read(sql, (began,))}
        unread = [session_id for session_id in session_ids if session_id not in fresh]
        self.database.remember(total=str(len(session_ids)))
        for start in range(0, len(unread), BATCH):
            progress(len(fresh) + start, len(session_ids))
            self.apply_own_changes()
            self.refresh(unread[start : start + BATCH])
        self.refresh_names()
        self.database.remember(complete="1", caught_up_at=utc_now().isoformat())

    @contextmanager
    def _only_builder(self) -> Iterator[bool]:
        """Let one process of this machine read all records at a time."""
        if self.database.path is None:
            yield True
            return
        handle = os.open(self.database.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def _read_all(self, session_ids: list[str]) -> Iterator[SessionRow]:
        """Read sessions at once, in the order in which they are read."""
        waiting, done = list(session_ids), SimpleQueue[SessionRow | BaseException]()

        def work() -> None:
            while waiting:
                try:
                    done.put(read_session(self.records, waiting.pop()))
                except IndexError:
                    return
                except BaseException as error:
                    done.put(error)

        for _ in range(min(THREADS, len(session_ids))):
            threading.Thread(target=work, name="adreel-index-reader", daemon=True).start()
        for _ in session_ids:
            row = done.get()
            if isinstance(row, BaseException):
                waiting.clear()
                raise row
            yield row

    def _store(self, rows: Iterable[SessionRow]) -> None:
        with self.database.write() as connection:
            for row in rows:
                sql = "SELECT read_at, created_at FROM sessions WHERE session_id = ?"
                known = connection.execute(sql, (row.session_id,)).fetchone()
                # A time that is still to come was written under a wrong clock.
                if known and row.read_at < known[0] <= time.time_ns():
                    continue
                # The times of pruned takes stay, so that no counter falls.
                sql = "DELETE FROM scenes WHERE session_id = ? AND seconds IS NULL"
                connection.execute(sql, (row.session_id,))
                connection.execute("UPDATE scenes SET is_pruned = 1 WHERE session_id = ?", (row.session_id,))
                for table in ("sessions", "summaries", "jobs", "ads", "takes"):
                    connection.execute(f"DELETE FROM {table} WHERE session_id = ?", (row.session_id,))  # noqa: S608
                if row.is_gone:
                    continue
                values = _values_of(row, known[1] if known else row.read_at // 1000)
                connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
                connection.execute("INSERT INTO summaries VALUES (?, ?)", (row.session_id, _content_of(row)))
                jobs = [
                    (job_id, row.session_id, campaign, state or UNREADABLE)
                    for job_id, (campaign, state) in row.jobs.items()
                ]
                connection.executemany("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?)", jobs)
                connection.executemany(INSERT_SCENE, row.scenes)
                connection.executemany(INSERT_AD, row.ads)
                connection.executemany(INSERT_TAKE, row.takes)


def cache_folder() -> Path:
    """Return the user's folder for files that can be deleted."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adreel"


def _values_of(row: SessionRow, known_since: int) -> tuple[Any, ...]:
    summary = row.summary
    if summary is None:
        # It stays where people saw it before.
        return row.session_id, row.session_id.casefold(), UNREADABLE, known_since, known_since, -1, row.read_at, ""
    text = "\n".join((row.session_id, summary.product_name, summary.campaign or "")).casefold()
    created, updated = microseconds(summary.created_at), microseconds(summary.updated_at)
    cost = to_micros(summary.billed)
    state = ARCHIVED if summary.archived_at else summary.state or NEW
    campaign = summary.campaign or ""
    return row.session_id, text, state, created, max(created, updated), cost, row.read_at, campaign


def _content_of(row: SessionRow) -> bytes:
    return zlib.compress(row.summary.model_dump_json().encode() if row.summary else row.error.encode(), 1)
