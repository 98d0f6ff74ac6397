"""Tasks of each poll: all, or fewer while an answer is too large."""

from collections.abc import Collection
from itertools import islice
from uuid import UUID

MOST = 20_000
LEAST = 100
"""Minimum batch size, so one oversized answer does not slow down thousands of later tasks."""


class Polls:
    """Halves the polls after an oversized message until the responsible task is alone in one."""

    def __init__(self) -> None:
        self._at_once = MOST
        self._turn = 0
        self._asked: list[UUID] = []
        self._suspects: list[UUID] = []
        self._searching_in = 0

    @property
    def is_searching(self) -> bool:
        """Whether an answer among the last polled tasks is known to be too large."""
        return bool(self._suspects)

    def next(self, tasks: Collection[UUID]) -> list[UUID]:
        """Return the tasks of the next poll."""
        self._suspects = [uuid for uuid in self._suspects if uuid in tasks]
        if self._suspects:
            self._asked = self._suspects[: self._searching_in]
        elif len(tasks) <= self._at_once:
            self._asked = list(tasks)
        else:
            self._turn = self._turn if self._turn < len(tasks) else 0
            self._asked = list(islice(tasks, self._turn, self._turn + self._at_once))
            self._turn += self._at_once
        return self._asked

    def note_answer(self) -> None:
        """Record an answer to the last poll: none of its tasks is responsible."""
        self._suspects = self._suspects[len(self._asked) :]
        if not self._suspects:
            # Only the sum of the answers was too large, so later polls are smaller.
            self._at_once = max(LEAST, self._at_once // 2)

    def note_overflow(self) -> UUID | None:
        """Record an oversized answer to the last poll; return the responsible task if it was alone."""
        if len(self._asked) == 1:
            self._suspects = []
            return self._asked[0]
        if not self._suspects:
            self._at_once = min(self._at_once, len(self._asked))
        self._suspects, self._searching_in = self._asked, max(1, len(self._asked) // 2)
        return None
