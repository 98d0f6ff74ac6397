"""The rate limit of requests and the size limit of bodies."""

import re
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adreel.web.problems import HTTPProblem


class RateLimiter:
    """A token bucket for each caller, with the requests of one minute.

    Each server counts on its own. Callers are names of keys, so there are few.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity, self._seconds_each, self._clock = float(per_minute), 60 / per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, name: str) -> float:
        """Take a token and return 0; without one, return the seconds until the next."""
        now = self._clock()
        tokens, at = self._buckets.get(name, (self._capacity, now))
        tokens = min(self._capacity, tokens + (now - at) / self._seconds_each)
        if tokens < 1:
            return (1 - tokens) * self._seconds_each
        self._buckets[name] = (tokens - 1, now)
        return 0


class BodyLimitMiddleware:
    """Reads the whole body before the app does. Refuses bodies that are too large or that ended too early.

    Every reader behind it (JSON, form, raw) gets a complete body: a truncated one could still parse. `uploads` are
    patterns of the paths that take images, and the limits of their bodies.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, uploads: Mapping[str, int]) -> None:
        self._app, self._max_bytes, self._uploads = app, max_bytes, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = [most for pattern, most in self._uploads.items() if re.fullmatch(pattern, scope["path"])]
        most = max([self._max_bytes, *found])
        length = Headers(scope=scope).get("content-length", "0")
        declared = int(length) if length.isascii() and length.isdecimal() else 0
        body = bytearray()
        problem: HTTPProblem | None = None
        more = declared <= most
        while more:
            message = await receive()
            if message["type"] != "http.request":
                detail = "the connection closed before the body was complete: the request was not processed"
                problem = HTTPProblem(400, "incomplete", detail)
                break
            body += message.get("body", b"")
            more = message.get("more_body", False) and len(body) <= most
        if max(len(body), declared) > most:
            detail = f"the body is larger than {most // 1024} KB: "
            detail += "make the images smaller" if found else "see ADREEL_MAX_BODY_KB"
            problem = problem or HTTPProblem(413, "tooLarge", detail, headers={"Connection": "close"})
        if problem and found:
            error = problem

            async def refuse() -> Message:
                raise error

            # The reader of the upload gets the error, so that a page can show it.
            await self._app(scope, refuse, send)
            return
        if problem:
            await problem.response(scope["path"])(scope, receive, send)
            return
        waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replay, send)
