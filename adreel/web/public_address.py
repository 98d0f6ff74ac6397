"""The public address of the server: ADREEL_PUBLIC_URL, which may have a path on a shared host.

The app behind `SubPath` is written as if the server had its own host.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adreel.errors import InputError

OWN_PATHS = {"api", "healthz", "metrics", "new", "openapi.json", "outputs", "readyz", "sessions", "sign-in", "sign-out"}

# Quotes in values of HTML and JSON are escaped, so a value can't look like an attribute or a field.
LINKS = re.compile(rb'\b(href|src|action|poster|data-page)="/(?!/)')
CLIPS = re.compile(rb'"(video_url|poster_url|aside_url)":(\s*)"/(?!/)')


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
            raise InputError(f"ADREEL_PUBLIC_URL: {root} is a path of adreel's own: take another, such as /adreel")
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", root):
            raise InputError("ADREEL_PUBLIC_URL: its path may have letters, digits and . _ ~ - between slashes")
        return cls(f"{parts.scheme}://{parts.netloc}".lower(), root)

    def is_asked(self, headers: Headers) -> bool:
        """Whether a request was sent to this address, as far as its Host and Origin tell."""
        host, origin = headers.get("host", ""), headers.get("origin", "")
        return bool(self.origin) and (origin == self.origin or host.lower() == self.origin.partition("//")[2])

    def is_https(self, scope: Scope) -> bool:
        """Whether the browser came by HTTPS."""
        return scope.get("scheme") == "https" or (
            self.origin.startswith("https:") and self.is_asked(Headers(scope=scope))
        )


class SubPath:
    """Strips the root path from requests, if a proxy left it there, and adds it to all links."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as ASGI does."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(self._inside(scope), receive, _Answer(self._root, send).send)

    def _inside(self, scope: Scope) -> Scope:
        path, root = scope["path"], self._root
        if path != root and not path.startswith(f"{root}/"):
            return scope
        raw = scope.get("raw_path", b"")
        inside = raw.removeprefix(root.encode()) or b"/"
        return {**scope, "path": path.removeprefix(root) or "/", "raw_path": inside}


class _Answer:
    """Forwards an answer with its links rewritten. Pages and JSON are sent whole, because their length changes."""

    def __init__(self, root: str, send: Send) -> None:
        self._root, self._send = root.encode(), send
        self._start: Message | None = None
        self._pattern: re.Pattern[bytes] | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body" and self._pattern is not None:
            await self._go_on(message)
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        if re.match("/(?!/)", location := headers.get("location", "")):
            headers["Location"] = self._root.decode() + location
        message["headers"] = [
            (name, re.sub(rb"; Path=/(?=;|$)", b"; Path=" + self._root, value, flags=re.IGNORECASE))
            if name == b"set-cookie"
            else (name, value)
            for name, value in message["headers"]
        ]
        kind = headers.get("content-type", "").partition(";")[0]
        self._pattern = {"text/html": LINKS, "application/json": CLIPS, "text/event-stream": CLIPS}.get(kind)
        if self._pattern is None or kind == "text/event-stream":
            await self._send(message)
        else:
            self._start = message

    async def _go_on(self, message: Message) -> None:
        if self._start is None:
            await self._send({**message, "body": self._linked(message.get("body", b""))})
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = self._linked(bytes(self._body))
        MutableHeaders(scope=self._start)["Content-Length"] = str(len(body))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body})

    def _linked(self, body: bytes) -> bytes:
        if self._pattern is LINKS:
            return LINKS.sub(rb'\1="' + self._root + b"/", body)
        return CLIPS.sub(rb'"\1":\2"' + self._root + b"/", body)
