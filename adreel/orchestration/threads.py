"""Threads for `asyncio.to_thread` that do not hold up the end of their process.

Python waits without a limit for the threads of a pool, at the end of a loop and again at the end of the process: a
cancelled run would last as long as its longest upload. What a left call was at is as safe as under a `kill -9`.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, TypeVar

T = TypeVar("T")

THREADS = 64
"""Threads wait for the storage, so their number does not depend on the cores. Some 16 of them may be busy with the
downloads of a loop (adreel/purchase/download.py); the others are for records."""


class LeavableThreads(ThreadPoolExecutor):
    """A pool of daemon threads. At shutdown it waits `patience` seconds for running calls, then abandons them.

    `most` threads run at once.
    """

    # Not a pool of the standard library by its works, only by its name: a loop takes nothing else.
    def __init__(self, patience: float, most: int = THREADS) -> None:
        super().__init__()
        self._patience, self._most = patience, most
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started: list[Thread] = []
        self._idle = Semaphore(0)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call."""
        future: Future[T] = Future()
        self._calls.put(partial(_fulfil, future, partial(fn, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and len(self._started) < self._most:
            self._started.append(Thread(target=self._work, name="adreel-call", daemon=True))
            self._started[-1].start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads once they have nothing to do; `wait` for them, within the patience."""
        for _ in self._started:
            self._calls.put(None)
        deadline = time.monotonic() + (self._patience if wait else 0)
        for thread in self._started:
            thread.join(max(0, deadline - time.monotonic()))

    def _work(self) -> None:
        while call := self._calls.get():
            call()
            self._idle.release()


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
