"""The two clients: the steps of the operations with blocking and with asynchronous I/O."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Self

import httpx

from adreel.client.operations import Operations
from adreel.client.steps import Events, Request, Result, Steps
from adreel.models.api import VideoStatusResponse

URL = "http://localhost:8000"


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


class Client(Operations):
    """Blocking client. Close it at the end, or use it in a `with` statement."""

    def __init__(self, url: str = URL, *, key: str | None = None, timeout: float = 30) -> None:
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def watch(self, job_id: str) -> Iterator[VideoStatusResponse]:
        """Yield the status of a job at each change until it has ended. Broken connections are resumed."""
        events = Events(job_id)
        while True:
            try:
                with self._http.stream("GET", events.path, headers=events.headers) as response:
                    if not response.is_success:
                        response.read()
                    events.open(response)
                    for line in response.iter_lines():
                        if status := events.parse(line):
                            yield status
            except httpx.TransportError as error:
                events.fail(error)
            if events.has_ended:
                return
            time.sleep(events.pause)

    def _run(self, steps: Steps[Result]) -> Result:
        with closing(steps):
            try:
                step = next(steps)
                while True:
                    if not isinstance(step, Request):
                        time.sleep(step)
                        step = next(steps)
                        continue
                    try:
                        response = self._send(step)
                    except httpx.TransportError as error:
                        step = steps.throw(error)
                    else:
                        step = steps.send(response)
            except StopIteration as end:
                found: Result = end.value
                return found

    def _send(self, request: Request) -> httpx.Response:
        with self._http.stream(request.method, request.path, **request.options) as response:
            if request.file and response.is_success:
                for chunk in response.iter_bytes():
                    request.file.write(chunk)
            else:
                response.read()
        return response


class AsyncClient(Operations):
    """Asynchronous client. Close it at the end, or use it in an `async with` statement."""

    def __init__(self, url: str = URL, *, key: str | None = None, timeout: float = 30) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def watch(self, job_id: str) -> AsyncIterator[VideoStatusResponse]:
        """Yield the status of a job at each change until it has ended. Broken connections are resumed."""
        events = Events(job_id)
        while True:
            try:
                async with self._http.stream("GET", events.path, headers=events.headers) as response:
                    if not response.is_success:
                        await response.aread()
                    events.open(response)
                    async for line in response.aiter_lines():
                        if status := events.parse(line):
                            yield status
            except httpx.TransportError as error:
                events.fail(error)
            if events.has_ended:
                return
            await asyncio.sleep(events.pause)

    async def _run(self, steps: Steps[Result]) -> Result:
        with closing(steps):
            try:
                step = next(steps)
                while True:
                    if not isinstance(step, Request):
                        await asyncio.sleep(step)
                        step = next(steps)
                        continue
                    try:
                        response = await self._send(step)
                    except httpx.TransportError as error:
                        step = steps.throw(error)
                    else:
                        step = steps.send(response)
            except StopIteration as end:
                found: Result = end.value
                return found

    async def _send(self, request: Request) -> httpx.Response:
        async with self._http.stream(request.method, request.path, **request.options) as response:
            if request.file and response.is_success:
                async for chunk in response.aiter_bytes():
                    request.file.write(chunk)
            else:
                await response.aread()
        return response
