"""The id of a request: in its response, in problem details and in its lines of the log."""

import logging
import re
from contextvars import ContextVar
from uuid import uuid4

_CURRENT: ContextVar[str] = ContextVar("request_id", default="-")


def set_request_id(header: str | None) -> str:
    """Set the id of the current request to that of its X-Request-ID header, if it is safe to log, else a new id."""
    request_id = header if header and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", header) else uuid4().hex
    _CURRENT.set(request_id)
    return request_id


def request_id() -> str:
    """Return the id of the current request."""
    return _CURRENT.get()


class RequestIdFilter(logging.Filter):
    """Adds the request id to log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id; no record is dropped."""
        record.request_id = request_id()
        return True
