"""The protocol of both clients without I/O: requests with retries, waits, and the parsing of event streams.

A generator yields requests and numbers of seconds to wait. The client sends the request, or waits. It sends the
response into the generator, or throws the transport's error.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar, TypeAlias, TypeVar
from urllib.parse import quote

import httpx

from adreel.errors import AdreelError
from adreel.models.api import VideoStatusResponse

MAX_TRIES = 5
BUSY = {429, 502, 503, 504}
EVENTS_PATH = "/api/videos/events/{job_id}"


class ApiError(AdreelError):
    """The server refused a request, or could not be reached (`status` 0). `problem` is its RFC 9457 problem."""

    code: ClassVar[str] = "api"

    def __init__(self, message: str, status: int = 0, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.problem = status, problem or {}


@dataclass(frozen=True)
class Request:
    """A request. The body of a successful response goes to `file`, if there is one."""

    method: str
    path: str
    json: dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None
    file: BinaryIO | None = None
    content: bytes | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of httpx."""
        return {
            "json": self.json,
            "content": self.content,
            "params": self.params,
            "headers": self.headers,
            "timeout": self.timeout or httpx.USE_CLIENT_DEFAULT,
            # With ADREEL_SIGNED_SECONDS a clip is at the object store. httpx does not send the key to another host.
            "follow_redirects": self.file is not None,
        }


Result = TypeVar("Result")
Steps: TypeAlias = Generator[Request | float, Any, Result]


def send(request: Request, max_tries: int = MAX_TRIES) -> Steps[httpx.Response]:
    """Send a request until it succeeds. ApiError if it is refused, or after the last try."""
    tries = 0
    while True:
        tries += 1
        if request.file:
            request.file.seek(0)
            request.file.truncate()
        try:
            response: httpx.Response = yield request
        except httpx.TransportError as error:
            if tries >= max_tries:
                raise ApiError(f"{request.path}: can't reach the server: {type(error).__name__}") from error
            yield pause(tries)
            continue
        if response.is_success:
            return response
        refusal = api_error(response)
        in_flight = str(refusal.problem.get("type", "")).endswith(":inFlight")
        if tries >= max_tries or not (response.status_code in BUSY or in_flight):
            raise refusal
        retry_after = response.headers.get("Retry-After", "")
        yield float(retry_after) if retry_after.isdecimal() else pause(tries)


def pause(tries: int) -> float:
    """Return the seconds before the next try."""
    return float(min(8, 0.5 * 2**tries))


def api_error(response: httpx.Response) -> ApiError:
    """Return the error of an unsuccessful response, whose body has been read."""
    try:
        body = response.json()
    except ValueError:
        body = None
    problem = body if isinstance(body, dict) else {}
    detail = problem.get("detail") or response.reason_phrase
    return ApiError(f"{detail} (HTTP {response.status_code})", response.status_code, problem)


class Events:
    """State of the event stream of a job, over all connections that it takes."""

    def __init__(self, job_id: str) -> None:
        self.path = EVENTS_PATH.format(job_id=quote(job_id, safe=""))
        self.has_ended = False
        self._last_id: str | None = None
        self._failures = 0
        self._fields: dict[str, str] = {}

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the next connection, with the id of the last event."""
        return {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._last_id} if self._last_id else {})

    def open(self, response: httpx.Response) -> None:
        """Check the response of a new connection. The body of an unsuccessful one has been read."""
        if response.status_code == httpx.codes.NO_CONTENT:
            self.has_ended = True
        elif response.status_code in BUSY:
            self.fail(api_error(response))
        elif not response.is_success:
            raise api_error(response)

    def fail(self, error: Exception) -> None:
        """Count a failed connection. ApiError after too many in a row."""
        self._failures += 1
        if self._failures >= MAX_TRIES:
            raise ApiError(f"can't follow the events: {error}") from error

    def parse(self, line: str) -> VideoStatusResponse | None:
        """Parse the next line, and return the status of an event that it completes."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return None
        event, self._fields = self._fields, {}
        if "id" in event:
            self._last_id, self._failures = event["id"], 0
        self.has_ended = event.get("event") == "end"
        return VideoStatusResponse.model_validate_json(event["data"]) if event.get("event") == "status" else None

    @property
    def pause(self) -> float:
        """Seconds before the next connection."""
        return pause(self._failures)
