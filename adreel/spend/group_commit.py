"""Group commit: the updates that a process wants to make at the same time become one write.

One thread leads. It takes all waiting updates into its next conditional update, and the others wait for it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from adreel.errors import AdreelError
from adreel.records import Records
from adreel.spend.accounts import Accounts
from adreel.storage.crash_points import crash_point

T = TypeVar("T")


@dataclass
class _Waiting(Generic[T]):
    change: Callable[[Accounts], T]
    is_done: bool = False
    result: T | None = None
    error: BaseException | None = None


class GroupCommit:
    """The updates of one storage's budgets by this process."""

    def __init__(self) -> None:
        self._queue, self._leading = threading.Lock(), threading.Lock()
        self._waiting: list[_Waiting[Any]] = []

    def run(self, records: Records, change: Callable[[Accounts], T]) -> T:
        """Apply a change to the budgets and return its result.

        `change` may be called again. An AdreelError that it raises refuses this change alone.
        """
        mine = _Waiting(change)
        with self._queue:
            self._waiting.append(mine)
        with self._leading:
            if not mine.is_done:
                with self._queue:
                    batch, self._waiting = self._waiting, []
                _commit(records, batch)
        if mine.error is not None:
            raise mine.error
        return cast(T, mine.result)


def _commit(records: Records, batch: list[_Waiting[Any]]) -> None:
    def apply(record: Any) -> Any:
        accounts = Accounts(record)
        for each in batch:
            each.result = each.error = None
            try:
                each.result = each.change(accounts)
            except AdreelError as error:
                each.error = error
        return record if accounts.is_changed else None

    try:
        crash_point("before the budgets")
        records.update_budgets(apply)
        crash_point("after the budgets")
    except BaseException as error:
        # The write may have succeeded or not: no update may rely on it.
        for each in batch:
            each.error = each.error or error
        raise
    finally:
        for each in batch:
            each.is_done = True
