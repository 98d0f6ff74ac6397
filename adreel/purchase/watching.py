"""Detects that a person has cancelled a job. The scenes of a job in one event loop share the reads of its record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from adreel.errors import AdreelError, JobCancelled
from adreel.records import Records

WATCH_SECONDS = 10.0
"""Seconds between two reads of the record of a job."""
READS_PER_SECOND = 20
"""Maximum of these reads per second for all jobs of a process."""
TOGETHER_SECONDS = 0.005
"""Time in which scenes that are about to be sent join one read."""


class JobWatch:
    """The reads of the record of one job."""

    def __init__(self, records: Records, job_id: str) -> None:
        self._records, self._job_id = records, job_id
        self._next_read: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._polling: asyncio.Task[JobCancelled] | None = None
        self.scenes = 0
        """Number of scenes that use it."""

    async def check(self) -> None:
        """Raise JobCancelled if the job was cancelled before this call."""
        # A read that has begun may have missed a cancel, so a call joins only a read that has not.
        if self._next_read is None:
            self._next_read = asyncio.create_task(self._read_soon(), name="adreel-check-job")
            self._next_read.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._next_read)

    def polling(self) -> "asyncio.Task[JobCancelled]":
        """Return the task that ends when a person ends the job."""
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._wait_for_cancel(), name="adreel-watch-job")
        return self._polling

    async def _wait_for_cancel(self) -> JobCancelled:
        jobs = _watches[asyncio.get_running_loop()]
        while True:
            await asyncio.sleep(max(WATCH_SECONDS, len(jobs) / READS_PER_SECOND))
            try:
                await asyncio.to_thread(self._read)
            except JobCancelled as error:
                return error
            except AdreelError:
                pass  # The job goes on while the storage is unavailable.

    async def _read_soon(self) -> None:
        # One read after the other: scenes that come during a read share the next one.
        async with self._reading:
            await asyncio.sleep(TOGETHER_SECONDS)
            self._next_read = None
            await asyncio.to_thread(self._read)

    def _read(self) -> None:
        latest = self._records.job(self._job_id)
        if latest is not None and latest.cancelled_at is not None:
            resume = f"`adreel resume {self._job_id}` downloads its open clips"
            raise JobCancelled(f"job {self._job_id} was cancelled: {resume}")


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], JobWatch]] = WeakKeyDictionary()


@asynccontextmanager
async def watch_job(records: Records, job_id: str) -> AsyncIterator[JobWatch]:
    """Cancel the block when a person ends the job, and raise JobCancelled. Scenes of the same job share the watch."""
    working = asyncio.current_task()
    assert working is not None  # noqa: S101 - a coroutine on a loop is in a task
    watches, key = _watches.setdefault(asyncio.get_running_loop(), {}), (records.storage.url, job_id)
    watch = watches.setdefault(key, JobWatch(records, job_id))
    watch.scenes += 1
    polling, is_inside = watch.polling(), True
    polling.add_done_callback(lambda done: working.cancel() if is_inside and not done.cancelled() else None)
    try:
        yield watch
    except asyncio.CancelledError:
        # As in asyncio.timeout, a cancellation from outside takes precedence.
        if polling.done() and not polling.cancelled() and working.uncancel() == 0:
            raise polling.result() from None
        raise
    finally:
        is_inside = False
        watch.scenes -= 1
        if not watch.scenes:
            polling.cancel()
            watches.pop(key, None)
