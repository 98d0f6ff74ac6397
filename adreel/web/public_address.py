"""The public address of the server: ADREEL_PUBLIC_URL, which may have a path on a shared host.

The app behind `SubPathMiddleware` is written as if the server had a host of its own.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adreel.errors import InputError

OWN_PATHS = {
    "api",
    "docs",
    "healthz",
    "metrics",
    "new",
    "openapi.json",
    "outputs",
    "readyz",
    "sessions",
    "share",
    "sign-in",
    "sign-out",
}

# Quotes in values of HTML and JSON are escaped, so a value can't look like an attribute or a field.
LINKS = re.compile(rb'\b(href|src|action|poster|data-page)="/(?!/)')
CLIPS = re.compile(rb'"(video_url|poster_url|aside_url|captions_url|url)":(\s*)"/(?=outputs/|api/sessions/)')


@dataclass(frozen=True)
class PublicAddress:
    """The origin and the root path of the server's pages; both are empty without ADREEL_PUBLIC_URL."""

    origin: str = ""
    root: str = ""

    @classmethod
    def of(cls, public_url: str | None) -> "PublicAddress":
        """Read ADREEL_PUBLIC_URL; InputError if its path collides with a path of the server."""
        if public_url is None:
            return cls()
        parts = urlsplit(public_url)
        root = parts.path.rstrip("/")
        if root.strip("/").partition("/")[0] in {*OWN_PATHS, "static"}:
            raise InputError(
                f"ADREEL_PUBLIC_URL: {root} is one of adreel's own paths: use another one, such as /adreel"
            )
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", root):
            raise InputError("ADREEL_PUBLIC_URL: its path may have letters, digits and . _ ~ - between slashes")
        return cls(f"{parts.scheme}://{parts.netloc}".lower(), root)

    def is_https(self, scope: Scope) -> bool:
        """Whether the browser uses HTTPS, as far as the scheme, or Host and Origin behind a proxy, tell."""
        headers, host = Headers(scope=scope), self.origin.partition("//")[2]
        is_here = headers.get("origin") == self.origin or headers.get("host", "").lower() == host
        return scope.get("scheme") == "https" or (self.origin.startswith("https:") and is_here)


class SubPathMiddleware:
    """Strips the root path from requests, if a proxy left it there, and adds it to all links of responses."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, root = scope["path"], self._root
        if path == root or path.startswith(f"{root}/"):
            raw = scope.get("raw_path", b"").removeprefix(root.encode()) or b"/"
            scope = {**scope, "path": path.removeprefix(root) or "/", "raw_path": raw}
        await self._app(scope, receive, _LinkRewriter(self._root, send).send)


class _LinkRewriter:
    """Adds the root path to the links of one response. Pages and JSON are buffered, because their length changes."""

    def __init__(self, root: str, send: Send) -> None:
        self._root, self._send = root.encode(), send
        self._start: Message | None = None
        self._pattern: re.Pattern[bytes] | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if re.match("/(?!/)", location := headers.get("location", "")):
                headers["Location"] = self._root.decode() + location
            cookie_path = b"; Path=" + self._root
            message["headers"] = [
                (name, re.sub(rb"; Path=/(?=;|$)", cookie_path, value, flags=re.IGNORECASE))
                if name == b"set-cookie"
                else (name, value)
                for name, value in message["headers"]
            ]
            kind = headers.get("content-type", "").partition(";")[0]
            self._pattern = {"text/html": LINKS, "application/json": CLIPS, "text/event-stream": CLIPS}.get(kind)
            if self._pattern is not None and kind != "text/event-stream":
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._pattern is not None:
            self._body += message.get("body", b"")
            if self._start is not None and message.get("more_body", False):
                return
            replacement = rb'\1="' if self._pattern is LINKS else rb'"\1":\2"'
            body = self._pattern.sub(replacement + self._root + b"/", self._body)
            self._body = b""
            if self._start is not None:
                MutableHeaders(scope=self._start)["Content-Length"] = str(len(body))
                await self._send(self._start)
            message = {**message, "body": body}
        await self._send(message)
