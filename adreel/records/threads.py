"""Threads for records and for files, which do not delay the end of their process.

Python waits without a limit for the threads of a pool, at the end of a loop and again at the end of the process. A
cancelled run would last as long as its longest upload. An abandoned call is as safe as under a `kill -9`.
"""

import asyncio
import atexit
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 64
"""Threads of a loop for `asyncio.to_thread`: records, and the steps of up to 16 downloads. They wait for the storage,
so their number does not depend on the cores."""
TRANSFERS = 16
"""Threads of a process for `transfer`."""
EXIT_SECONDS = 2.0
"""Maximum time for which the end of a process waits for transfers that were abandoned."""


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


class _Transfers:
    """The threads of this process for files."""

    def __init__(self) -> None:
        self.start_anew()
        # A forked process has no thread of its parent.
        os.register_at_fork(after_in_child=self.start_anew)
        atexit.register(self.finish)

    def start_anew(self) -> None:
        self.pool = DaemonThreadPool(EXIT_SECONDS, TRANSFERS)

    def finish(self) -> None:
        self.pool.shutdown()


_transfers = _Transfers()


async def transfer(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that copies a file from or to the storage. It takes no thread from the records of a purchase."""
    run = partial(copy_context().run, call, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_transfers.pool, run)
