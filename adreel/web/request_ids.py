"""The id of a request: in its answer, in problem details and in every line of the log that it causes."""

import logging
import re
from contextvars import ContextVar
from uuid import uuid4

_CURRENT: ContextVar[str] = ContextVar("request_id", default="-")


def begin(offered: str | None) -> str:
    """Name the current request: as its sender did, if that can be logged, else by chance."""
    name = offered if offered and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", offered) else uuid4().hex
    _CURRENT.set(name)
    return name


def request_id() -> str:
    """Return the id of the current request."""
    return _CURRENT.get()


class WithRequestId(logging.Filter):
    """Gives each line of the log its request_id."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id; nothing is held back."""
        record.request_id = request_id()
        return True
