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
NEW, ARCHIVED, UNREADABLE = "new", "archived", "unreadable"
"""States of a session before its first take, of one that left the lists, and of one that can't be read."""
Condition = tuple[str, list[Any]]


@dataclass(frozen=True)
class SessionQuery:
    """A page of the list. `after` and `before` are cursors of an earlier page; `limit` 0 is no limit."""

    q: str = ""
    """Words that the id, the product or the campaign contain, in any case."""
    state: str | None = None
    campaign: str | None = None
    """Name of the campaign that the session belongs to."""
    since: datetime | None = None
    """Minimum time of the last change."""
    sort: Sort = "-created"
    limit: int = 20
    after: str | None = None
    before: str | None = None
    has_archived: bool = False
    """Whether sessions of any state include the archived ones."""

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
        elif not self.has_archived:
            conditions.append("state != ?")
            values.append(ARCHIVED)
        if self.campaign:
            conditions.append("campaign = ?")
            values.append(self.campaign)
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
        return encode_cursor([self.sort, row[1], row[0]])

    def _position(self, cursor: str) -> list[Any]:
        name = "before" if self.before else "after"
        kind = str if self.column == "session_id" else int
        sort, value, session_id = decode_cursor(cursor, name, (str, kind, str))
        if sort != self.sort:
            raise _no_cursor(name)
        return [value, session_id]

    def without_cursor(self) -> "SessionQuery":
        """Return the query of the first page."""
        return replace(self, after=None, before=None)


def encode_cursor(values: list[Any]) -> str:
    """Return a cursor: the place of a row in the order of a list."""
    content = json.dumps(values, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode_cursor(cursor: str, name: str, kinds: tuple[type, ...]) -> list[Any]:
    """Return the values of a cursor, or raise InputError for the parameter `name`."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if all(isinstance(value, kind) for value, kind in zip(values, kinds, strict=True)):
            # SQLite has neither larger integers nor lone surrogates.
            for value in values:
                _ = value.encode() if isinstance(value, str) else value.to_bytes(8, signed=True)
            return list(values)
    except (ValueError, TypeError, OverflowError):
        pass
    raise _no_cursor(name)


def _no_cursor(name: str) -> InputError:
    told = f"{name} is not a cursor of this list: take `next` or `previous` of a page with the same sort"
    return InputError(told, {name: told})


def microseconds(moment: datetime | None) -> int:
    """Return a time as an integer; 0 for an unknown one."""
    return int(moment.timestamp() * 1_000_000) if moment else 0
