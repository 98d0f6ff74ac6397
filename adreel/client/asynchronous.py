"""The client for asynchronous code."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx

from adreel.client.calls import URL, Answer, Call, Calls, Events, pause, until
from adreel.models.api import State, VideoGenerationResponse, VideoRegenerateResponse, VideoStatusResponse
from adreel.models.scenarios import Scenario


class AsyncClient(Calls):
    """Calls the API with `await`; close it at the end, or use it in an `async with`."""

    def __init__(self, url: str = URL, *, key: str | None = None, timeout: float = 30) -> None:
        super().__init__(url, key, timeout)
        self._http = httpx.AsyncClient(**self._options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def generate(
        self, session_id: str, scenarios: list[Scenario] | None = None, *, idempotency_key: str | None = None
    ) -> VideoGenerationResponse:
        """Start a job for a stored session: all four scenes, or some."""
        return await self._send(self._generate(session_id, scenarios, idempotency_key))

    async def status(self, job_id: str) -> VideoStatusResponse:
        """Return how far a job is."""
        return await self._send(self._status(job_id))

    async def wait(self, job_id: str, *, timeout: float | None = None, every: float = 5) -> VideoStatusResponse:
        """Return the status of a job once it has ended; TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            status = await self.status(job_id)
            if status.overall_status != State.GENERATING:
                return status
            await asyncio.sleep(until(deadline, every, job_id))

    async def watch(self, job_id: str) -> AsyncIterator[VideoStatusResponse]:
        """Yield the status of a job at each change, until it has ended; broken connections are resumed."""
        events = Events(job_id)
        while not events.has_ended:
            try:
                async for status in self._listen(events):
                    yield status
            except httpx.TransportError as error:
                events.failed(error)
            if not events.has_ended:
                await asyncio.sleep(pause(events.failures))

    async def regenerate(
        self,
        session_id: str,
        scenario: Scenario | str,
        *,
        wait: bool = False,
        wait_seconds: float = 600,
        idempotency_key: str | None = None,
        **changes: Any,
    ) -> VideoRegenerateResponse:
        """Buy another take of one scene, perhaps with fields of its description changed; `wait` until it is stored."""
        seconds = wait_seconds if wait else None
        return await self._send(self._regenerate(session_id, scenario, changes, seconds, idempotency_key))

    async def _send(self, call: Call[Answer]) -> Answer:
        while True:
            try:
                found = call.read(await self._http.request(call.method, call.path, **call.options(self._timeout)))
            except httpx.TransportError as error:
                found = call.lost(error)
            if not isinstance(found, float):
                return found
            await asyncio.sleep(found)

    async def _listen(self, events: Events) -> AsyncIterator[VideoStatusResponse]:
        async with self._http.stream("GET", events.path, headers=events.headers, timeout=self._timeout) as response:
            if not response.is_success:
                await response.aread()
            events.opened(response)
            async for line in response.aiter_lines():
                if status := events.line(line):
                    yield status
