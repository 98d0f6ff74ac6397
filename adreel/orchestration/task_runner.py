"""A Prefect task runner that runs all tasks of a flow on one event loop.

Prefect's own thread pool gives each async task a thread, an event loop and an API client, so tasks can't share a
connection, and cancelling waits for the threads. Here one background thread runs one loop with one API client. Each
task is a plain `asyncio.Task`: many are cheap, and cancelling raises `CancelledError` inside each.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread, current_thread
from typing import Any, Self
from uuid import UUID

from prefect._internal.uuid7 import uuid7
from prefect.client.schemas.objects import RunInput
from prefect.context import AsyncClientContext
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.task_engine import run_task_async
from prefect.task_runners import TaskRunner
from prefect.tasks import Task
from prefect.utilities.collections import visit_collection

from adreel.records.threads import DaemonThreadPool

START_TIMEOUT = 120.0
# A cancelled run has to end within 10 s. Prefect's worker polls for its end every 3 s and needs 2 s more to report it:
# an end after 3 + 2 s is seen after 6 s and reported after 8 s. A scene writes its record and frees its slot in 1 s.
CANCEL_TIMEOUT = 3.0
CLOSE_TIMEOUT = 2.0


class OneLoopTaskRunner(TaskRunner[PrefectFuture[Any]]):
    """Run async tasks together on the event loop of one background thread.

    At exit the remaining tasks are cancelled, with `cancel_timeout` seconds to clean up.
    """

    def __init__(self, cancel_timeout: float = CANCEL_TIMEOUT) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Prefect leaves it untyped
        self._cancel_timeout = cancel_timeout
        self._running: set[asyncio.Task[Any]] = set()

    def duplicate(self) -> Self:
        """Return a new runner with the same timeout."""
        return type(self)(self._cancel_timeout)

    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> PrefectConcurrentFuture[Any]:
        """Start an async task on the loop. A task that runs there already awaits another task instead."""
        if not self._started:
            raise RuntimeError("The task runner must be started before submitting work.")
        if not task.isasync or task.isgenerator:
            raise TypeError(f"Task {task.name!r} is not a coroutine function: it would block the event loop.")
        if current_thread() is self._thread:
            raise RuntimeError(f"Task {task.name!r} was submitted from a task on the same loop: await it instead.")
        task_run_id = uuid7()
        running = self._run(task, task_run_id, parameters=parameters, wait_for=wait_for, dependencies=dependencies)
        future = asyncio.run_coroutine_threadsafe(running, self._loop)
        return PrefectConcurrentFuture(task_run_id=task_run_id, wrapped_future=future)

    async def _run(self, task: Task[..., Any], task_run_id: UUID, **inputs: Any) -> Any:
        running = asyncio.current_task()
        assert running is not None  # noqa: S101 - a coroutine on a loop is in a task
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        # A context model is entered once: each task enters a copy, which holds the same client.
        with self._client.model_copy():
            # The task engine waits for futures by blocking its thread, which here runs the loop that completes them.
            upstream: list[PrefectFuture[Any]] = []

            def collect(value: Any, context: dict[str, Any]) -> Any:
                if isinstance(value, PrefectFuture):
                    upstream.append(value)
                return value

            values = (inputs["parameters"], inputs["wait_for"])
            visit_collection(values, visit_fn=collect, return_data=False, max_depth=-1, context={})
            for future in upstream:
                await _completed(future)
            return await run_task_async(task, task_run_id, **inputs, return_type="state")

    def __enter__(self) -> Self:
        super().__enter__()
        opened: Future[AsyncClientContext] = Future()
        run = copy_context().run
        self._thread = Thread(target=run, args=(asyncio.run, self._serve(opened)), name="adreel-tasks", daemon=True)
        self._thread.start()
        try:
            self._client = opened.result(START_TIMEOUT)
        except BaseException:
            self._started = False
            raise
        return self

    async def _serve(self, opened: Future[AsyncClientContext]) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_default_executor(DaemonThreadPool(CLOSE_TIMEOUT / 2))
        try:
            async with AsyncClientContext() as client:
                opened.set_result(client)
                await self._closing.wait()
                for task in self._running:
                    task.cancel()
                if self._running:
                    await asyncio.wait(self._running, timeout=self._cancel_timeout)
        except Exception as error:
            if opened.done():
                self.logger.exception("The API client of the tasks did not close.")
            else:
                opened.set_exception(error)

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(self._cancel_timeout + CLOSE_TIMEOUT)
        if self._thread.is_alive():
            self.logger.warning("Tasks still run %s s after their cancellation: abandoned.", self._cancel_timeout)
        super().__exit__(exc_type, exc_value, traceback)

    def __reduce__(self) -> tuple[type[Self], tuple[float]]:
        return type(self), (self._cancel_timeout,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OneLoopTaskRunner) and self._cancel_timeout == other._cancel_timeout

    def __hash__(self) -> int:
        return hash(self._cancel_timeout)


async def _completed(future: PrefectFuture[Any]) -> None:
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: PrefectFuture[Any]) -> None:
        loop.call_soon_threadsafe(done.set)

    future.add_done_callback(wake)
    await done.wait()
