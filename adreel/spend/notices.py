"""Notices that a budget has passed a threshold. This package knows no Prefect: a process says who is to be told."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from threading import Thread

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


def stop_listening(listener: Listener) -> None:
    """Call a function no longer."""
    with suppress(ValueError):
        _listeners.remove(listener)


def notify(notices: Iterable[Reached]) -> None:
    """Tell all listeners in a thread, for which only the end of the process waits."""
    told = list(notices)
    if told and _listeners:
        # An order must not wait for Prefect. The events keep the context of the order's run.
        Thread(target=copy_context().run, args=(_tell, told), name="adreel-notices").start()


def _tell(notices: list[Reached]) -> None:
    for notice in notices:
        for listener in _listeners:
            try:
                listener(notice)
            except Exception:
                # No purchase depends on a notice.
                log.exception("nobody was told that budget %s has reached %d %%", notice.budget, notice.percent)
