"""Virtual time: event loops that share a clock, each the inside of one process."""

import asyncio
from collections.abc import Callable
from typing import Any


class Clock:
    """The time of a world, in seconds; it moves when nobody has anything to do before."""

    def __init__(self) -> None:
        self.now = 1.0


class _NothingToSelect:
    def select(self, _timeout: float | None) -> list[Any]:
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop that is stepped from outside and takes its time from a clock.

    Calls into threads run on the loop's own turn after a delay: the same order for the same seed.
    """

    def __init__(self, clock: Clock, delay: Callable[[], float]) -> None:
        super().__init__()
        self._selector = _NothingToSelect()
        self._clock = clock
        self._delay = delay
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        """Return the world's time."""
        return self._clock.now

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """Run a blocking call a little later, whole."""
        future = self.create_future()

        def run() -> None:
            # A thread goes on when nobody waits for it any more.
            try:
                result = func(*args)
            except BaseException as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        self.call_later(self._delay(), run)
        return future

    @property
    def next_at(self) -> float | None:
        """When it wants to run next; None if nothing will ever happen on it."""
        if self._ready:  # type: ignore[attr-defined]
            return self._clock.now
        return self._scheduled[0].when() if self._scheduled else None  # type: ignore[attr-defined]

    def step(self) -> None:
        """Run what is due."""
        asyncio._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio._set_running_loop(None)

    def _process_events(self, _events: Any) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nothing sleeps."""
