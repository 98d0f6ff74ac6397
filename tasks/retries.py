"""Retry policy of the tasks and of the flows' own calls."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_logger
from prefect.tasks import Task

from adreel.errors import AdreelError, StorageUnavailable

T = TypeVar("T")

logger = get_logger("adreel.retries")

RETRY_DELAYS: list[float] = [2, 4, 8, 16, 30, 60]
"""Two minutes in total, enough for a restart of a provider, a store or Prefect."""


retrying: dict[tuple[str, str], tuple[str, str]] = {}
"""Calls that are being repeated in this process, by job and scene or by STORAGE: `trying again (3/6)` and the error."""
STORAGE = ("", "storage")


def is_retryable(error: object) -> bool:
    """Whether an automatic retry can help."""
    # Prefect's server may be unreachable too, for example when the key is read from its block.
    return isinstance(error, httpx.TransportError) or (isinstance(error, AdreelError) and error.retryable)


# Prefect accepts only a plain function here. It silently treats anything else as "never retry".
def should_retry(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether an automatic retry can help, by the class of the error."""
    return is_retryable(state.data)


TASK_OPTIONS: dict[str, Any] = {
    "retries": len(RETRY_DELAYS),
    "retry_delay_seconds": RETRY_DELAYS,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": should_retry,
    # The records are the truth. A cached result could only disagree with them.
    "persist_result": False,
}
"""Options of each task that buys clips."""


def is_last_try(error: Exception) -> bool:
    """Whether the task is not retried after this error."""
    context = TaskRunContext.get()
    return not is_retryable(error) or context is None or context.task_run.run_count > context.task.retries


def count_tries() -> int:
    """Return how often the current task was tried."""
    context = TaskRunContext.get()
    return context.task_run.run_count if context else 1


def note_retry(key: tuple[str, str], number: int, error: Exception) -> None:
    """Note the error after which a call is repeated; `number` counts the repetitions."""
    retrying[key] = f"trying again ({number}/{len(RETRY_DELAYS)})", str(error)


def retry_unavailable(call: Callable[[], T], delays: Iterator[float]) -> T:
    """Call a function, and retry it after each remaining delay while the storage is unavailable."""
    try:
        for number, delay in enumerate(delays, 1):
            try:
                return call()
            except StorageUnavailable as error:
                logger.warning("%s; retrying in %g s", error, delay)
                note_retry(STORAGE, number, error)
                time.sleep(delay)
        return call()
    finally:
        retrying.pop(STORAGE, None)
