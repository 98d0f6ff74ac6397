"""Named points at which tests simulate a crash of a purchase. In production each point reads one variable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_visitor: ContextVar[Callable[[str], None] | None] = ContextVar("crash point visitor", default=None)


def crash_point(name: str) -> None:
    """Call the visitor, if there is one. It may raise."""
    visitor = _visitor.get()
    if visitor is not None:
        visitor(name)


@contextmanager
def visit_crash_points(visitor: Callable[[str], None]) -> Iterator[None]:
    """Call `visitor` with the name of each point that this context reaches."""
    token = _visitor.set(visitor)
    try:
        yield
    finally:
        _visitor.reset(token)
