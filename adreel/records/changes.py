"""The feed of changed sessions: one small file in the storage for each change, or for several at once, listed by time.

A process that changes a session announces it, and the indexes of other processes read that session again. The feed is
a hint: no record depends on it, and a process that is killed may leave its last changes unannounced.
"""

import atexit
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from weakref import WeakMethod

from adreel.errors import StorageError
from adreel.models.sessions import ID_PATTERN
from adreel.models.takes import utc_now
from adreel.storage import Storage
from adreel.storage.backend import RECORD_BYTES

FOLDER = "changes"
PERIOD = timedelta(minutes=10)
"""Time that one folder of the feed covers."""
TOLERANCE = timedelta(minutes=10)
"""Maximum difference between the clocks of two machines, plus the duration of a write."""
KEPT = timedelta(days=1)
"""Age at which announcements are removed."""
GATHER_SECONDS = 1.5
"""Time in which several changes of a session become one announcement."""
FLUSH_SECONDS = 5.0
"""Maximum time for which the end of a process waits for its announcements."""

log = logging.getLogger("adreel.records")
_PERIOD_FORMAT = "%Y%m%dT%H%M"
Listener = Callable[[str], None]


class Announcer:
    """Writes the announcements of this process, in one background thread."""

    def __init__(self) -> None:
        self._start_anew()
        # A forked process has no thread, and perhaps a lock that its parent held.
        os.register_at_fork(after_in_child=self._start_anew)
        atexit.register(self.flush)

    def _start_anew(self) -> None:
        self._waiting: dict[tuple[str, str], Storage] = {}
        """By the identity of the storage and the id of a session."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_writing = self._is_flushing = False

    def announce(self, storage: Storage, session_id: str) -> None:
        """Announce a changed session soon, without waiting."""
        with self._changed:
            self._waiting[storage.identity, session_id] = storage
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="adreel-changes", daemon=True)
                self._thread.start()

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until everything is announced, or the time is over."""
        with self._changed:
            self._is_flushing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting and not self._is_writing, seconds)
            self._is_flushing = False

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._changed.wait_for(lambda: self._is_flushing, GATHER_SECONDS)
                waiting, self._waiting, self._is_writing = self._waiting, {}, True
            by_storage: dict[str, tuple[Storage, list[str]]] = {}
            for (place, session_id), storage in waiting.items():
                by_storage.setdefault(place, (storage, []))[1].append(session_id)
            for storage, session_ids in by_storage.values():
                try:
                    storage.write(*new_entry(session_ids, utc_now()))
                except StorageError as error:
                    log.warning("the change of a session was not announced to other servers: %s", error)
                except Exception:
                    log.exception("unexpected")
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()


announcer = Announcer()
_listeners: dict[str, list[WeakMethod[Listener]]] = {}
"""By the identity of a storage."""


def listen(storage: Storage, listener: Listener) -> None:
    """Call a bound method with each session that this process changes, for as long as its object lives."""
    living = [each for each in _listeners.get(storage.identity, []) if each() is not None]
    _listeners[storage.identity] = [*living, WeakMethod(listener)]


def tell_listeners(storage: Storage, session_id: str) -> None:
    """Tell the indexes of this process that a session has changed."""
    for reference in list(_listeners.get(storage.identity, [])):
        if listener := reference():
            listener(session_id)


def new_entry(session_ids: list[str], at: datetime) -> tuple[str, bytes]:
    """Return the path and the content of an announcement: one session is in the name, several are in the content."""
    start = at.astimezone(UTC)
    period = start.replace(minute=start.minute - start.minute % 10).strftime(_PERIOD_FORMAT)
    path = f"{FOLDER}/{period}/{int(at.timestamp() * 1000)}-{secrets.token_hex(2)}"
    return (f"{path}-{session_ids[0]}", b"") if len(session_ids) == 1 else (path, "\n".join(session_ids).encode())


def sessions_of(storage: Storage, period: str, entry: str) -> set[str]:
    """Return the sessions that an entry of a period announces; none for a file of another kind."""
    found = re.fullmatch(r"\d+-[0-9a-f]{4}(-(?P<session_id>[A-Za-z0-9_-]{1,64}))?", entry)
    if found is None or found["session_id"]:
        return {found["session_id"]} if found else set()
    try:
        content = storage.read(f"{FOLDER}/{period}/{entry}", RECORD_BYTES).decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return set()
    return {line for line in content.splitlines() if re.fullmatch(ID_PATTERN, line)}


def periods(storage: Storage) -> list[str]:
    """Return the names of the feed's folders, the oldest first."""
    return [name for name in storage.names(FOLDER) if re.fullmatch(r"\d{8}T\d{4}", name)]


def entries(storage: Storage, period: str) -> list[str]:
    """Return the entries of a period, the oldest first."""
    return storage.names(f"{FOLDER}/{period}")


def is_closed(period: str, now: datetime) -> bool:
    """Whether no process adds to a period any more."""
    return _start_of(period) + PERIOD + TOLERANCE < now


def clear(storage: Storage, now: datetime) -> None:
    """Remove what was announced long ago."""
    for period in periods(storage):
        if _start_of(period) + PERIOD + KEPT < now:
            for entry in entries(storage, period):
                storage.remove(f"{FOLDER}/{period}/{entry}")
            storage.remove_folder(f"{FOLDER}/{period}")


def _start_of(period: str) -> datetime:
    return datetime.strptime(period, _PERIOD_FORMAT).replace(tzinfo=UTC)
