"""The states that a list of sessions shows, and can be filtered by."""

from typing import Literal, get_args

ListedState = Literal["new", "generating", "completed", "partial", "failed", "cancelled", "archived", "unreadable"]
"""`new` has no takes yet, and `unreadable` can't be read. An `archived` one is in no other list."""
LISTED_STATES: tuple[ListedState, ...] = get_args(ListedState)
