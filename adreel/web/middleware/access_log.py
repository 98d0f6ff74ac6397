"""Request ids, security headers, the access log and the metrics of requests."""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adreel.records.sharing import SHARE_PATH
from adreel.web.metrics import Metrics
from adreel.web.problems import HTTPProblem, problem_of
from adreel.web.public_address import PublicAddress
from adreel.web.request_ids import set_request_id
from adreel.web.wrong_keys import client_address

log = logging.getLogger("adreel.api")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

SHARE_HEADERS = {
    # The address of a guest's page is a secret: no request tells it, and no search engine keeps it.
    "Referrer-Policy": "strict-origin",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
MAX_LOGGED_PATH = 300
"""Maximum characters of a path in the log. It bounds how much a caller without a key can write into it."""


class AccessLogMiddleware:
    """The outermost middleware but for a sub-path: it also answers requests whose error nobody caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics, address: PublicAddress, clips_from: str | None = None) -> None:
        self._app, self._metrics, self._address = app, metrics, address
        # Pages load clips from the store too, other things only from this server, and run no inline script.
        clips = f"'self' {clips_from}" if clips_from else "'self'"
        policy = (
            f"default-src 'self'; img-src {clips} data:; media-src {clips}; object-src 'none'; base-uri 'none'; "
            "form-action 'self'; frame-ancestors 'none'"
        )
        # Shared caches must not keep answers behind a key. Clips set their own Cache-Control.
        self._headers = {**SECURITY_HEADERS, "Content-Security-Policy": policy, "Cache-Control": "no-store"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_headers = Headers(scope=scope)
        request_id = set_request_id(request_headers.get("x-request-id"))
        started, status = time.perf_counter(), 0
        is_shared = scope["path"].startswith(SHARE_PATH)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in {**self._headers, **(SHARE_HEADERS if is_shared else {})}.items():
                    headers.setdefault(name, value)
                if self._address.is_https(scope):
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        try:
            check_framing(request_headers)
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if status or not isinstance(error, HTTPProblem):
                log.exception("unexpected")
            if status:
                raise
            await problem_of(error).response(scope["path"])(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            # The raw path is still quoted, so it can't break the line. The query may hold secrets.
            path = scope.get("raw_path", b"").partition(b"?")[0].decode("ascii", "replace")
            if is_shared:
                path = route if route != "none" else f"{SHARE_PATH}{{token}}"
            log.info(
                "%s %s %d %.0f ms caller=%s client=%s",
                method,
                path if len(path) <= MAX_LOGGED_PATH else f"{path[:MAX_LOGGED_PATH]}...",
                status,
                seconds * 1000,
                getattr(scope.get("state", {}).get("caller"), "name", "-"),
                client_address(scope),
            )


def check_framing(headers: Headers) -> None:
    """Refuse a request with two framings, which a proxy and this server could read differently (request smuggling)."""
    if "transfer-encoding" in headers and "content-length" in headers:
        detail = "a request has a Content-Length or a Transfer-Encoding, not both"
        raise HTTPProblem(400, "framing", detail, headers={"Connection": "close"})
