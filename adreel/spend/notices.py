"""Notices that a budget has passed a threshold. This package knows no Prefect: a process says who is to be told."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

log = logging.getLogger("adreel.spend")


@dataclass(frozen=True)
class Reached:
    """A budget that has passed a threshold, in percent of its cap, for the first time in a period.

    Sums are micro-dollars. An order that is refused counts as 100 %.
    """

    budget: str
    period: str
    percent: int
    cap: int
    spent: int
    held: int


Listener = Callable[[Reached], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Call a function for each notice of this process from now on."""
    if listener not in _listeners:
        _listeners.append(listener)


def notify(notices: Iterable[Reached]) -> None:
    """Tell all listeners. A failure is logged: no purchase depends on a notice."""
    for notice in notices:
        for listener in _listeners:
            try:
                listener(notice)
            except Exception:
                log.exception("nobody was told that budget %s has reached %d %%", notice.budget, notice.percent)
