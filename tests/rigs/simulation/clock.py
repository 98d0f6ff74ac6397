"""Virtual time: event loops that share a clock. Each loop belongs to one process."""

import asyncio
from collections.abc import Callable
from typing import Any


class Clock:
    """The time of a world in seconds. It advances when no process has earlier work."""

    def __init__(self) -> None:
        self.now = 1.0


class _NothingToSelect:
    def select(self, _timeout: float | None) -> list[Any]:
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop that is stepped from outside and uses the clock's time.

    Calls into threads run on the loop after a delay, so that the same seed gives the same order.
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
        """Run a blocking call after a delay."""
        future = self.create_future()

        def run() -> None:
            # A thread continues when its caller no longer waits.
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
        """The time of its next event, or None."""
        if self._ready:  # type: ignore[attr-defined]
            return self._clock.now
        return self._scheduled[0].when() if self._scheduled else None  # type: ignore[attr-defined]

    def step(self) -> None:
        """Run all due events."""
        asyncio._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio._set_running_loop(None)

    def _process_events(self, _events: Any) -> None:
        """Do nothing: there are no external events."""

    def _write_to_self(self) -> None:
        """Do nothing: the loop never sleeps."""
