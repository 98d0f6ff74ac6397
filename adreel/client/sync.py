"""The client for plain code."""

import time
from collections.abc import Iterator
from typing import Any, Self

import httpx

from adreel.client.calls import URL, Answer, Call, Calls, Events, pause, until
from adreel.models.api import State, VideoGenerationResponse, VideoRegenerateResponse, VideoStatusResponse
from adreel.models.scenarios import Scenario


class Client(Calls):
    """Calls the API; close it at the end, or use it in a `with`."""

    def __init__(self, url: str = URL, *, key: str | None = None, timeout: float = 30) -> None:
        super().__init__(url, key, timeout)
        self._http = httpx.Client(**self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(
        self, session_id: str, scenarios: list[Scenario] | None = None, *, idempotency_key: str | None = None
    ) -> VideoGenerationResponse:
        """Start a job for a stored session: all four scenes, or some."""
        return self._send(self._generate(session_id, scenarios, idempotency_key))

    def status(self, job_id: str) -> VideoStatusResponse:
        """Return how far a job is."""
        return self._send(self._status(job_id))

    def wait(self, job_id: str, *, timeout: float | None = None, every: float = 5) -> VideoStatusResponse:
        """Return the status of a job once it has ended; TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            status = self.status(job_id)
            if status.overall_status != State.GENERATING:
                return status
            time.sleep(until(deadline, every, job_id))

    def watch(self, job_id: str) -> Iterator[VideoStatusResponse]:
        """Yield the status of a job at each change, until it has ended; broken connections are resumed."""
        events = Events(job_id)
        while not events.has_ended:
            try:
                yield from self._listen(events)
            except httpx.TransportError as error:
                events.failed(error)
            if not events.has_ended:
                time.sleep(pause(events.failures))

    def regenerate(
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
        return self._send(self._regenerate(session_id, scenario, changes, seconds, idempotency_key))

    def _send(self, call: Call[Answer]) -> Answer:
        while True:
            try:
                found = call.read(self._http.request(call.method, call.path, **call.options(self._timeout)))
            except httpx.TransportError as error:
                found = call.lost(error)
            if not isinstance(found, float):
                return found
            time.sleep(found)

    def _listen(self, events: Events) -> Iterator[VideoStatusResponse]:
        with self._http.stream("GET", events.path, headers=events.headers, timeout=self._timeout) as response:
            if not response.is_success:
                response.read()
            events.opened(response)
            for line in response.iter_lines():
                if status := events.line(line):
                    yield status
