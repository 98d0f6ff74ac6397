"""Clients of Prefect's API with limits for the size and the duration of responses.

Another server may answer at the address, and a supervising process must survive its responses.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx
from prefect.client.orchestration import PrefectClient, SyncPrefectClient, get_client

T = TypeVar("T")

MAX_BYTES = 100_000_000
"""The largest responses are pages of 200 runs with their parameters."""
MAX_SECONDS = 60.0
"""Time limit from the headers of a response to its end."""
MAX_IN_FLIGHT = 12
"""Prefect's client has 16 connections, so requests never wait for its pool."""
CLOSE_TIMEOUT = 5.0

log = logging.getLogger("adreel.prefect")


def sync_client(**httpx_settings: Any) -> SyncPrefectClient:
    """Return a client of the server at PREFECT_API_URL with bounded responses."""

    def bound(response: httpx.Response) -> None:
        response.stream = _BoundedStream(response)

    return get_client(sync_client=True, httpx_settings=_with_hook(bound, httpx_settings))


def async_client(**httpx_settings: Any) -> PrefectClient:
    """Return an asynchronous client of the server at PREFECT_API_URL with bounded responses."""

    async def bound(response: httpx.Response) -> None:
        response.stream = _BoundedStream(response)

    return get_client(sync_client=False, httpx_settings=_with_hook(bound, httpx_settings))


def _with_hook(hook: Any, httpx_settings: dict[str, Any]) -> dict[str, Any]:
    # A small compressed response could expand to a large one.
    return {"headers": {"Accept-Encoding": "identity"}, "event_hooks": {"response": [hook]}, **httpx_settings}


class _BoundedStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.DecodingError("it is compressed, which was not asked for", request=response.request)
        # A stream of either kind, as the client is.
        self._stream: Any = response.stream
        self._request = response.request
        self._bytes, self._deadline = 0, time.monotonic() + MAX_SECONDS

    def _count(self, chunk: bytes) -> bytes:
        self._bytes += len(chunk)
        if self._bytes > MAX_BYTES:
            raise httpx.DecodingError(f"it is larger than {MAX_BYTES / 1e6:g} MB", request=self._request)
        if time.monotonic() > self._deadline:
            raise httpx.DecodingError(f"it does not end within {MAX_SECONDS:g} s", request=self._request)
        return chunk

    def __iter__(self) -> Iterator[bytes]:
        return map(self._count, self._stream)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield self._count(chunk)

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


@dataclass
class _SharedClient:
    client: PrefectClient
    users: int = 0
    is_retired: bool = False


class RenewingClient:
    """Sends requests to Prefect with a timeout, for a long-running process. A timeout replaces the client.

    A cancelled request can keep its place in httpx's connection pool for ever (encode/httpcore#1093). After a hang of
    Prefect the pool would stay exhausted.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        # Later clients use the Prefect settings of the context in which this object was made.
        self._context = contextvars.copy_context()
        self._turns = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._opening = asyncio.Lock()
        self._current: _SharedClient | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._current is not None:
            self._retire(self._current)
        await asyncio.gather(*self._closing)

    async def request(self, send: Callable[[PrefectClient], Coroutine[Any, Any, T]]) -> T:
        """Await `send` with a client; TimeoutError after the timeout, even if the request goes on."""
        async with asyncio.timeout(self._timeout), self._turns:
            shared = await self._open()
            shared.users += 1
            # The request runs in its own task, which can be abandoned: under load, httpx sometimes swallows the only
            # cancellation of a timeout and keeps waiting.
            sending = asyncio.create_task(send(shared.client))
            # Retrieve the exception of an abandoned task, or asyncio would log it as never retrieved.
            sending.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                return await asyncio.shield(sending)
            except (TimeoutError, httpx.TimeoutException, asyncio.CancelledError):
                # A leaked connection can't be detected from outside.
                self._retire(shared)
                raise
            finally:
                sending.cancel()
                shared.users -= 1
                self._close_if_unused(shared)

    async def _open(self) -> _SharedClient:
        async with self._opening:
            if self._current is None:
                self._current = _SharedClient(self._context.run(async_client))
                await self._current.client.__aenter__()
            return self._current

    def _retire(self, shared: _SharedClient) -> None:
        if shared.is_retired:
            return
        shared.is_retired = True
        if self._current is shared:
            self._current = None
        self._close_if_unused(shared)

    def _close_if_unused(self, shared: _SharedClient) -> None:
        async def close() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    try:
                        await shared.client.__aexit__(None, None, None)
                    except Exception:
                        log.warning("a client of Prefect's API did not close", exc_info=True)

        if shared.is_retired and shared.users == 0:
            task = asyncio.create_task(close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
