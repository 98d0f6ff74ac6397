"""Named points at which a test can end a purchase as a crash would; in production each is one look at a variable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_visitor: ContextVar[Callable[[str], None] | None] = ContextVar("crash point visitor", default=None)


def crash_point(name: str) -> None:
    """Tell the visitor, if there is one, that this point is reached; it may raise."""
    visitor = _visitor.get()
    if visitor is not None:
        visitor(name)


@contextmanager
def visit_crash_points(visitor: Callable[[str], None]) -> Iterator[None]:
    """Have `visitor` called with the name of each point that is reached in this context."""
    token = _visitor.set(visitor)
    try:
        yield
    finally:
        _visitor.reset(token)
