"""Request ids, security headers and the access log of all requests."""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adreel.web.guesses import client_address
from adreel.web.metrics import Metrics
from adreel.web.problems import HTTPProblem, problem_of
from adreel.web.public_address import PublicAddress
from adreel.web.request_ids import begin

log = logging.getLogger("adreel.api")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
MOST_LOGGED = 300
"""Maximum characters of a path in the log. It bounds how much a caller without a key can write into it."""


class AccessLogMiddleware:
    """The outermost layer: an error that nobody caught becomes an answer here."""

    def __init__(self, app: ASGIApp, metrics: Metrics, address: PublicAddress, clips_from: str | None = None) -> None:
        self._app, self._metrics, self._address = app, metrics, address
        self._headers = {**SECURITY_HEADERS, "Content-Security-Policy": content_policy(clips_from)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as ASGI does."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = begin(Headers(scope=scope).get("x-request-id"))
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message), scope, request_id)
            await send(message)

        try:
            check_framing(Headers(scope=scope))
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if status:
                log.exception("unexpected")
                raise
            if not isinstance(error, HTTPProblem):
                log.exception("unexpected")
            await problem_of(error).response(scope["path"])(scope, receive, send_with_headers)
        finally:
            self._leave_trace(scope, status, time.perf_counter() - began)

    def _leave_trace(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        caller = getattr(scope.get("state", {}).get("caller"), "name", "-")
        # The path as it was sent: still quoted, so it can't break the line; the query may hold more than a log should.
        path = scope.get("raw_path", b"").partition(b"?")[0].decode("ascii", "replace")
        log.info(
            "%s %s %d %.0f ms caller=%s client=%s",
            method,
            path if len(path) <= MOST_LOGGED else f"{path[:MOST_LOGGED]}...",
            status,
            seconds * 1000,
            caller,
            client_address(scope),
        )

    def _add_headers(self, headers: MutableHeaders, scope: Scope, request_id: str) -> None:
        headers["X-Request-ID"] = request_id
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        if self._address.is_https(scope):
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        # Shared caches must not keep answers behind a key. Clips set their own Cache-Control.
        headers.setdefault("Cache-Control", "no-store")


def check_framing(headers: Headers) -> None:
    """Refuse a request with two framings, which a proxy and this server could read differently (request smuggling)."""
    if "transfer-encoding" in headers and "content-length" in headers:
        detail = "a request has a Content-Length or a Transfer-Encoding, not both"
        raise HTTPProblem(400, "framing", detail, headers={"Connection": "close"})


def content_policy(clips_from: str | None) -> str:
    """Return what a page may load: nothing from other hosts but clips, no script but from files, in nobody's frame."""
    clips = f"'self' {clips_from}" if clips_from else "'self'"
    return (
        f"default-src 'self'; img-src {clips} data:; media-src {clips}; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
