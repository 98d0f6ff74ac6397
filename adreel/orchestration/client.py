"""Prefect's client with limits for the size and the duration of answers.

Another server may answer at the address, and a supervising process must survive its answers.
"""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient, SyncPrefectClient, get_client

MOST_BYTES = 100_000_000
"""The largest answers are pages of 200 runs with their parameters."""
MOST_SECONDS = 60.0
"""Time limit from the headers of an answer to its end."""


def sync_client(**httpx_settings: Any) -> SyncPrefectClient:
    """Return a client of the server at PREFECT_API_URL whose answers are bounded."""

    def bound(response: httpx.Response) -> None:
        response.stream = _BoundedStream(response)

    return get_client(sync_client=True, httpx_settings=_with_hook(bound, httpx_settings))


def async_client(**httpx_settings: Any) -> PrefectClient:
    """Return an asynchronous client of the server at PREFECT_API_URL whose answers are bounded."""

    async def bound(response: httpx.Response) -> None:
        response.stream = _BoundedAsyncStream(response)

    return get_client(sync_client=False, httpx_settings=_with_hook(bound, httpx_settings))


def _with_hook(hook: Any, httpx_settings: dict[str, Any]) -> dict[str, Any]:
    # A small compressed answer could expand to a large one.
    return {"headers": {"Accept-Encoding": "identity"}, "event_hooks": {"response": [hook]}, **httpx_settings}


class _Bounds:
    def __init__(self, response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.DecodingError("it is compressed, which was not asked for", request=response.request)
        self._request, self._stream = response.request, response.stream
        self._bytes, self._deadline = 0, time.monotonic() + MOST_SECONDS

    def _count(self, chunk: bytes) -> bytes:
        self._bytes += len(chunk)
        if self._bytes > MOST_BYTES:
            raise httpx.DecodingError(f"it is larger than {MOST_BYTES / 1e6:g} MB", request=self._request)
        if time.monotonic() > self._deadline:
            raise httpx.DecodingError(f"it does not end within {MOST_SECONDS:g} s", request=self._request)
        return chunk


class _BoundedStream(_Bounds, httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._stream, httpx.SyncByteStream)  # noqa: S101 - of a client that is not asynchronous
        for chunk in self._stream:
            yield self._count(chunk)

    def close(self) -> None:
        assert isinstance(self._stream, httpx.SyncByteStream)  # noqa: S101
        self._stream.close()


class _BoundedAsyncStream(_Bounds, httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._stream, httpx.AsyncByteStream)  # noqa: S101 - of an asynchronous client
        async for chunk in self._stream:
            yield self._count(chunk)

    async def aclose(self) -> None:
        assert isinstance(self._stream, httpx.AsyncByteStream)  # noqa: S101
        await self._stream.aclose()
