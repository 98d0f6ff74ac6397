"""Thread pools for blocking calls. Each kind of call has its own pool, and every wait has a deadline.

A call can hang where nothing can interrupt it: a FIFO, a held lock, a dead network disk. Its request is answered at
the deadline. Its thread stays busy until the call returns, so a pool that hangs completely can be detected.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from anyio.lowlevel import RunVar

from adreel.errors import StorageError
from adreel.records.threads import DaemonThreadPool

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Pool:
    """Threads for one kind of call; `seconds` bound the wait for a thread and for the call together."""

    name: str
    threads: int
    seconds: float


RECORDS = Pool("records", threads=32, seconds=30)
CLIPS = Pool("clips", threads=16, seconds=30)
METRICS = Pool("metrics", threads=1, seconds=60)
PROBE = Pool("probe", threads=1, seconds=4)


class _Threads:
    """The threads of a pool in one event loop."""

    def __init__(self, pool: Pool) -> None:
        self._loop = asyncio.get_running_loop()
        self._executor = DaemonThreadPool(0, pool.threads)
        self._slots = asyncio.Semaphore(pool.threads)
        self._free = pool.threads
        self._full_since: float | None = None

    async def call(self, call: Callable[[], T]) -> T:
        """Run a call in a thread as soon as one is free."""
        await self._slots.acquire()
        self._count(-1)
        future = self._executor.submit(call)
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def later(self, call: Callable[[], object]) -> None:
        """Queue a call for the next free thread."""
        self._executor.submit(call)

    def stuck_seconds(self) -> float:
        """Seconds for which all threads have been in their current calls."""
        return 0 if self._full_since is None else self._loop.time() - self._full_since

    def close(self) -> None:
        """Abandon the threads without waiting for their calls."""
        self._executor.shutdown(wait=False)

    def _release(self, _done: "Future[Any]") -> None:
        def release() -> None:
            self._count(+1)
            self._slots.release()

        # This runs in the thread, perhaps long after the request. The loop may be closed.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(release)

    def _count(self, change: int) -> None:
        self._free += change
        self._full_since = None if self._free else self._loop.time()


_OPEN: RunVar[dict[Pool, _Threads]] = RunVar("adreel_threads")


async def run_in_threadpool(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that reads or writes records in a thread; StorageError after its deadline."""
    return await run_in(RECORDS, partial(call, *args, **kwargs))


async def run_in(pool: Pool, call: Callable[[], T]) -> T:
    """Run a call in a thread of a pool; StorageError after its deadline."""
    context = contextvars.copy_context()
    try:
        async with asyncio.timeout(pool.seconds) as limit:
            return await _threads(pool).call(partial(context.run, call))
    except TimeoutError:
        if not limit.expired():
            raise
        raise StorageError(f"the storage did not answer within {pool.seconds:g} s ({pool.name})") from None


def run_later(pool: Pool, call: Callable[[], object]) -> None:
    """Start a call in a thread of a pool without waiting for it."""
    _threads(pool).later(call)


def stuck_seconds() -> float:
    """Return the seconds for which all threads for records have been busy in the same calls."""
    return _threads(RECORDS).stuck_seconds()


def close_threads() -> None:
    """Abandon the threads of the running event loop."""
    for threads in _OPEN.get({}).values():
        threads.close()
    _OPEN.set({})


def _threads(pool: Pool) -> _Threads:
    opened = _OPEN.get({})
    if pool not in opened:
        opened[pool] = _Threads(pool)
        _OPEN.set(opened)
    return opened[pool]
