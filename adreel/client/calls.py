"""Shared parts of both clients: the form of calls and event streams, and the retry policy."""

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from adreel.errors import AdreelError
from adreel.models.api import VideoGenerationResponse, VideoRegenerateResponse, VideoStatusResponse
from adreel.models.scenarios import Scenario

URL = "http://localhost:8000"
TRIES = 5
BUSY = {429, 502, 503, 504}

Answer = TypeVar("Answer", bound=BaseModel)


class ApiError(AdreelError):
    """The server refused a request, or could not be reached (`status` 0); `problem` is its RFC 9457 answer."""

    code: ClassVar[str] = "api"

    def __init__(self, message: str, status: int = 0, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.problem = status, problem or {}


@dataclass
class Call(Generic[Answer]):
    """One call, with what is known of its tries so far."""

    answer: type[Answer]
    method: str
    path: str
    json: dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None
    tries: int = 0

    def options(self, usual_timeout: float) -> dict[str, Any]:
        """Return what httpx needs beside the method and the path."""
        timeout = self.timeout or usual_timeout
        return {"json": self.json, "params": self.params, "headers": self.headers, "timeout": timeout}

    def read(self, response: httpx.Response) -> Answer | float:
        """Return the answer, or the seconds after which to try again; ApiError if that won't help."""
        self.tries += 1
        if response.is_success:
            try:
                return self.answer.model_validate_json(response.content)
            except ValidationError as error:
                raise ApiError(f"{self.path}: not an answer of adreel: {error}", response.status_code) from None
        problem = _problem(response)
        in_flight = str(problem.get("type", "")).endswith(":inFlight")
        if (response.status_code in BUSY or in_flight) and self.tries < TRIES:
            return _seconds(response, self.tries)
        detail = problem.get("detail") or response.reason_phrase
        raise ApiError(f"{detail} (HTTP {response.status_code})", response.status_code, problem)

    def lost(self, error: httpx.TransportError) -> float:
        """Return the seconds after which to try again; ApiError after the last try."""
        self.tries += 1
        if self.tries >= TRIES:
            raise ApiError(f"{self.path}: can't reach the server: {type(error).__name__}") from error
        return pause(self.tries)


class Events:
    """Reads the event stream of a job line by line, over as many connections as it takes."""

    def __init__(self, job_id: str) -> None:
        self.path = f"/api/videos/events/{quote(job_id, safe='')}"
        self.last_id: str | None = None
        self.has_ended = False
        self.failures = 0
        self._fields: dict[str, str] = {}

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the next connection, with the id of the last event."""
        return {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.last_id} if self.last_id else {})

    def opened(self, response: httpx.Response) -> None:
        """Take note of the answer to a connection; the body of a refusal has been read."""
        if response.status_code == httpx.codes.NO_CONTENT:
            self.has_ended = True
        elif response.status_code in BUSY:
            self.failed(ApiError(f"HTTP {response.status_code}", response.status_code, _problem(response)))
        elif not response.is_success:
            problem = _problem(response)
            raise ApiError(str(problem.get("detail") or response.status_code), response.status_code, problem)

    def failed(self, error: Exception) -> None:
        """Count a connection that came to nothing; raises after too many in a row."""
        self.failures += 1
        if self.failures >= TRIES:
            raise ApiError(f"the events can't be followed: {error}") from error

    def line(self, line: str) -> VideoStatusResponse | None:
        """Take the next line; returns the status of an event that it completes."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return None
        event, self._fields = self._fields, {}
        if "id" in event:
            self.last_id, self.failures = event["id"], 0
        self.has_ended = event.get("event") == "end"
        return VideoStatusResponse.model_validate_json(event["data"]) if event.get("event") == "status" else None


class Calls:
    """Base of both clients with the form of the calls."""

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        self._options: dict[str, Any] = {
            "base_url": url,
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            "follow_redirects": False,
        }
        self._timeout = timeout

    @staticmethod
    def _generate(
        session_id: str, scenarios: list[Scenario] | None, idempotency_key: str | None
    ) -> Call[VideoGenerationResponse]:
        body = {"session_id": session_id} | ({"scenarios": [*map(str, scenarios)]} if scenarios else {})
        return Call(VideoGenerationResponse, "POST", "/api/videos/generate-scenes", body, headers=_key(idempotency_key))

    @staticmethod
    def _status(job_id: str) -> Call[VideoStatusResponse]:
        return Call(VideoStatusResponse, "GET", f"/api/videos/status/{quote(job_id, safe='')}")

    @staticmethod
    def _regenerate(
        session_id: str,
        scenario: Scenario | str,
        changes: dict[str, Any],
        wait_seconds: float | None,
        idempotency_key: str | None,
    ) -> Call[VideoRegenerateResponse]:
        return Call(
            VideoRegenerateResponse,
            "POST",
            "/api/videos/regenerate-scene",
            {"session_id": session_id, "scenario": str(scenario), **changes},
            {"wait": "true", "wait_seconds": wait_seconds} if wait_seconds else {},
            _key(idempotency_key),
            wait_seconds + 30 if wait_seconds else None,
        )


def _key(given: str | None) -> dict[str, str]:
    return {"Idempotency-Key": given or str(uuid4())}


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(response: httpx.Response, tries: int) -> float:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else pause(tries)


def pause(tries: int) -> float:
    """Return the seconds before the next try."""
    return float(min(8, 0.5 * 2**tries))


def until(deadline: float | None, every: float, job_id: str) -> float:
    """Return the seconds before the next look; TimeoutError once the deadline has passed."""
    if deadline is None:
        return every
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"job {job_id} is still generating")
    return min(every, left)
