"""A client of Prefect's API for a long-running process, replaced when its connections are stuck.

A request that is cancelled can keep its place in httpx's connection pool for ever (encode/httpcore#1093). Enough of
them, after a hang of Prefect, and the pool is exhausted while Prefect is well again.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx
from prefect.client.orchestration import PrefectClient

from adreel.orchestration.client import async_client

T = TypeVar("T")

AT_ONCE = 12
"""Maximum requests in flight. Prefect's client has 16 connections, so requests never wait for its pool."""

CLOSE_SECONDS = 5.0

log = logging.getLogger("adreel.prefect")


@dataclass
class _Lent:
    client: PrefectClient
    users: int = 0
    is_retired: bool = False


class RenewedClient:
    """Sends requests to Prefect with a deadline; a request that misses it retires the client."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        # Later clients use the Prefect settings of the context in which this object was made.
        self._settings = contextvars.copy_context()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._opening = asyncio.Lock()
        self._current: _Lent | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._current is not None:
            self._retire(self._current)
        await asyncio.gather(*self._closing)

    async def ask(self, question: Callable[[PrefectClient], Coroutine[Any, Any, T]]) -> T:
        """Send a request to Prefect; TimeoutError at the deadline, even if the request goes on."""
        async with asyncio.timeout(self._patience), self._turns:
            lent = await self._open()
            lent.users += 1
            # The request runs in its own task, which can be abandoned: under load, httpx sometimes swallows the only
            # cancellation of a deadline and keeps waiting.
            asking = asyncio.create_task(question(lent.client))
            asking.add_done_callback(_note_end)
            try:
                return await asyncio.shield(asking)
            except (TimeoutError, httpx.TimeoutException, asyncio.CancelledError):
                # A leaked connection can't be detected from outside.
                self._retire(lent)
                raise
            finally:
                asking.cancel()
                lent.users -= 1
                self._close_if_unused(lent)

    async def _open(self) -> _Lent:
        async with self._opening:
            if self._current is None:
                self._current = _Lent(self._settings.run(async_client))
                await self._current.client.__aenter__()
            return self._current

    def _retire(self, lent: _Lent) -> None:
        if lent.is_retired:
            return
        lent.is_retired = True
        if self._current is lent:
            self._current = None
        self._close_if_unused(lent)

    def _close_if_unused(self, lent: _Lent) -> None:
        if lent.is_retired and lent.users == 0:
            task = asyncio.create_task(_close(lent.client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _note_end(asking: "asyncio.Task[Any]") -> None:
    # The exception of an abandoned task is retrieved, or asyncio would log it as never retrieved.
    if not asking.cancelled():
        asking.exception()


async def _close(client: PrefectClient) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            try:
                await client.__aexit__(None, None, None)
            except Exception:
                log.warning("a client of Prefect's API did not close", exc_info=True)
