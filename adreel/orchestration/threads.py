"""Threads for `asyncio.to_thread` that do not delay the end of their process.

Python waits without a limit for the threads of a pool, at the end of a loop and again at the end of the process. A
cancelled run would last as long as its longest upload. An abandoned call is as safe as under a `kill -9`.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, TypeVar

T = TypeVar("T")

THREADS = 64
"""Threads wait for the storage, so their number does not depend on the cores. Up to 16 are busy with the downloads of
a loop (adreel/purchase/download.py). The others are for records."""


class DaemonThreadPool(ThreadPoolExecutor):
    """A pool of daemon threads. At shutdown it waits `shutdown_timeout` seconds for its calls, then abandons them."""

    # A subclass only because a loop accepts no other executor. It uses none of the base class.
    def __init__(self, shutdown_timeout: float, max_workers: int = THREADS) -> None:
        super().__init__()
        self._shutdown_timeout, self._max_workers = shutdown_timeout, max_workers
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started: list[Thread] = []
        self._idle = Semaphore(0)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call."""
        future: Future[T] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(call)
        if not self._idle.acquire(blocking=False) and len(self._started) < self._max_workers:
            self._started.append(Thread(target=self._work, name="adreel-call", daemon=True))
            self._started[-1].start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End idle threads, and `wait` for running calls within the timeout."""
        for _ in self._started:
            self._calls.put(None)
        deadline = time.monotonic() + (self._shutdown_timeout if wait else 0)
        for thread in self._started:
            thread.join(max(0, deadline - time.monotonic()))

    def _work(self) -> None:
        while call := self._calls.get():
            call()
            self._idle.release()
