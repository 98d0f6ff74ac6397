"""The thread of a server that keeps its index current."""

import logging
import threading
import time

from adreel.errors import StorageError
from adreel.index.database import IndexReset
from adreel.index.session_index import SessionIndex
from adreel.models.takes import utc_now
from adreel.records import changes

POLL_SECONDS = 1.5
"""Time between two looks at the announcements of other processes."""
SILENT_SECONDS, SILENT_LIMIT = 60.0, 8
"""Age at which a generating session is read again, and the maximum number of them after each look."""
NAMES_SECONDS, SESSIONS_PER_SECOND = 60.0, 100
"""Minimum time between two comparisons of the sessions' names; longer with many sessions, as a listing is long then."""
CLEAN_SECONDS = 600.0
"""Time between two removals of old announcements."""
MAX_PAUSE_SECONDS = 30.0
STOP_SECONDS = 2.0

log = logging.getLogger("adreel.index")


class IndexKeeper:
    """Builds an index and follows the storage in a background thread, from `start` to `stop`."""

    def __init__(self, index: SessionIndex) -> None:
        self._index = index
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._compared_at = self._cleaned_at = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self._index.is_followed = True
        self._thread = threading.Thread(target=self._work, name="adreel-index", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; one that waits for a storage is abandoned."""
        self._stopping.set()
        self._index.wake()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        pause, polled_at = POLL_SECONDS, -POLL_SECONDS
        while not self._stopping.is_set():
            try:
                self._index.apply_own_changes()
                if time.monotonic() - polled_at >= pause:
                    self._follow()
                    polled_at = time.monotonic()
                self._index.problem, pause = "", POLL_SECONDS
            except IndexReset:
                polled_at = -POLL_SECONDS
            except StorageError as error:
                if not self._index.problem:
                    log.warning("the index is not up to date: %s", error)
                self._index.problem = str(error)
                self._stopping.wait(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
            except Exception:
                log.exception("unexpected")
                self._stopping.wait(MAX_PAUSE_SECONDS)
            self._index.wait_for_change(max(0, polled_at + pause - time.monotonic()))

    def _follow(self) -> None:
        self._index.database.check_file()
        self._index.update()
        self._index.refresh_silent(SILENT_SECONDS, SILENT_LIMIT)
        if time.monotonic() - self._compared_at > max(NAMES_SECONDS, self._index.count / SESSIONS_PER_SECOND):
            self._index.refresh_names()
            self._compared_at = time.monotonic()
        if time.monotonic() - self._cleaned_at > CLEAN_SECONDS:
            changes.clear(self._index.records.storage, utc_now())
            self._cleaned_at = time.monotonic()
