"""Queries of the list of sessions: filters, orders and cursors."""

import base64
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, get_args

from adreel.errors import InputError

Sort = Literal["-created", "created", "-updated", "updated", "-cost", "cost", "id", "-id"]
SORTS: tuple[Sort, ...] = get_args(Sort)
_COLUMNS = {"created": "created_at", "updated": "updated_at", "cost": "cost", "id": "session_id"}
NEW, UNREADABLE = "new", "unreadable"
"""States of a session before its first take, and of one that can't be read."""
Condition = tuple[str, list[Any]]


@dataclass(frozen=True)
class SessionQuery:
    """A page of the list. `after` and `before` are cursors of an earlier page; `limit` 0 is no limit."""

    q: str = ""
    """Words that the id, the product or the campaign contain, in any case."""
    state: str | None = None
    since: datetime | None = None
    """Minimum time of the last change."""
    sort: Sort = "-created"
    limit: int = 20
    after: str | None = None
    before: str | None = None

    @property
    def is_descending(self) -> bool:
        """Whether the largest value comes first."""
        return self.sort.startswith("-")

    @property
    def column(self) -> str:
        """The column of its order."""
        return _COLUMNS[self.sort.removeprefix("-")]

    def filters(self) -> Condition:
        """Return the SQL condition of the filters."""
        conditions = ["1"]
        values: list[Any] = []
        for word in self.q.casefold().split():
            conditions.append("instr(text, ?)")
            values.append(word)
        if self.state:
            conditions.append("state = ?")
            values.append(str(self.state))
        if self.since:
            conditions.append("updated_at >= ?")
            values.append(microseconds(self.since))
        return " AND ".join(conditions), values

    def statement(self) -> Condition:
        """Return the SQL of the page, with one row more than the limit; read backwards for `before`."""
        where, values = self.filters()
        goes_down = self.is_descending != bool(self.before)
        if cursor := self.before or self.after:
            where += f" AND ({self.column}, session_id) {'<' if goes_down else '>'} (?, ?)"
            values += self._position(cursor)
        order = "DESC" if goes_down else "ASC"
        sql = f"SELECT session_id, {self.column} FROM sessions WHERE {where}"  # noqa: S608 - values are parameters
        sql += f" ORDER BY {self.column} {order}, session_id {order} LIMIT ?"
        return sql, [*values, self.limit + 1 if self.limit else -1]

    def cursor(self, row: tuple[Any, ...]) -> str:
        """Return the cursor of a row: its id and the value that it is ordered by."""
        content = json.dumps([self.sort, row[1], row[0]], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    def _position(self, cursor: str) -> list[Any]:
        try:
            sort, value, session_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            if sort == self.sort and isinstance(value, str if self.column == "session_id" else int):
                return [value, str(session_id)]
        except (ValueError, TypeError):
            pass
        name = "before" if self.before else "after"
        told = f"{name} is not a cursor of this list: take `next` or `previous` of a page with the same sort"
        raise InputError(told, {name: told})

    def without_cursor(self) -> "SessionQuery":
        """Return the query of the first page."""
        return replace(self, after=None, before=None)


def microseconds(moment: datetime | None) -> int:
    """Return a time as an integer; 0 for an unknown one."""
    return int(moment.timestamp() * 1_000_000) if moment else 0
