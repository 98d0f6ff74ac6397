"""How much a caller may ask for: requests in a time, bytes in a body."""

import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adreel.web.problems import HTTPProblem


class RequestLimits:
    """A token bucket for each caller: a minute's requests at once, then as fast as they come back.

    Each server counts for itself; callers are the names of keys, so there are few.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._each, self._clock = float(per_minute), 60 / per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, name: str) -> float:
        """Count a request; returns the seconds to wait if it is one too many, else 0."""
        now = self._clock()
        left, at = self._buckets.get(name, (self._most, now))
        left = min(self._most, left + (now - at) / self._each)
        if left < 1:
            return (1 - left) * self._each
        self._buckets[name] = (left - 1, now)
        return 0


class BodyLimit:
    """Reads the whole body before the app does. Refuses bodies that are too large or that ended too early.

    Every reader behind it (JSON, form, raw) gets a complete body: a truncated one could still parse.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as ASGI does."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
        except HTTPProblem as refusal:
            await refusal.response(scope["path"])(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        body = bytearray()
        more = _length(headers) <= self._most
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise HTTPProblem(
                    400, "incomplete", "the connection ended before the body did: nothing was carried out"
                )
            body += message.get("body", b"")
            more = message.get("more_body", False) and len(body) <= self._most
        if max(len(body), _length(headers)) > self._most:
            detail = f"the body is larger than {self._most // 1024} KB: see ADREEL_MAX_BODY_KB"
            raise HTTPProblem(413, "tooLarge", detail, headers={"Connection": "close"})
        return bytes(body)


def _length(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdecimal() else 0


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
