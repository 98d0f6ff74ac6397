"""Which tasks a poll asks about: all of them, or few while one answer is known to be too large."""

from collections.abc import Collection
from itertools import islice
from uuid import UUID

MOST = 20_000
LEAST = 100
"""Tasks in one poll: an answer that was too large once must not slow those of thousands of later tasks down."""


class Polls:
    """Splits the polls after a message that was too large, until the task to blame is alone in one."""

    def __init__(self) -> None:
        self._at_once = MOST
        self._turn = 0
        self._asked: list[UUID] = []
        self._suspects: list[UUID] = []
        self._searching_in = 0

    @property
    def is_searching(self) -> bool:
        """Whether some of the last asked tasks have an answer that is too large."""
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
        """Take the last poll for answered: none of its tasks is to blame."""
        self._suspects = self._suspects[len(self._asked) :]
        if not self._suspects:
            # The answers were too large together: from now on fewer at once.
            self._at_once = max(LEAST, self._at_once // 2)

    def note_overflow(self) -> UUID | None:
        """Take the answer to the last poll for too large; return the task to blame once it was the only one."""
        if len(self._asked) == 1:
            self._suspects = []
            return self._asked[0]
        if not self._suspects:
            self._at_once = min(self._at_once, len(self._asked))
        self._suspects, self._searching_in = self._asked, max(1, len(self._asked) // 2)
        return None
