"""When a task is tried again: the same for a scene and for the ads of a campaign."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_logger
from prefect.tasks import Task

from adreel.errors import AdreelError, StorageUnavailable
from adreel.foreign_text import clean_text, is_clean

T = TypeVar("T")

logger = get_logger("adreel.retries")

RETRY_DELAYS: list[float] = [2, 4, 8, 16, 30, 60]
"""Two minutes: a provider, a store or Prefect that restarts is back by then."""


def may_pass(error: object) -> bool:
    """Whether trying again by itself can help."""
    # Prefect's own server may be away as well, such as when the key is read from its block.
    return isinstance(error, httpx.TransportError) or (isinstance(error, AdreelError) and error.retryable)


# Prefect takes nothing but a plain function here: anything else means "never retry", without a word.
def is_worth_retrying(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again by itself can help, by the error's class."""
    return may_pass(state.data)


def is_last_try(error: Exception) -> bool:
    """Whether the task will not be tried again after this error."""
    if not may_pass(error):
        return True
    context = TaskRunContext.get()
    return context is None or context.task_run.run_count > context.task.retries


def told_cleanly(error: Exception) -> Exception:
    """Return an error whose text Prefect's database can keep: PostgreSQL refuses a state with a NUL for minutes."""
    text = str(error)
    if is_clean(text):
        return error
    return AdreelError(f"{type(error).__name__}: {clean_text(text)}")


def patiently(call: Callable[[], T], delays: Iterator[float]) -> T:
    """Call something of a flow's own, and after each of the delays that are left again while the storage is away."""
    for delay in delays:
        try:
            return call()
        except StorageUnavailable as error:
            logger.warning("%s; again in %g s", error, delay)
            time.sleep(delay)
    return call()


RETRIES: dict[str, Any] = {
    "retries": len(RETRY_DELAYS),
    "retry_delay_seconds": RETRY_DELAYS,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_worth_retrying,
}
