"""HEAD for every GET, and compressed responses. Clips and event streams have their own way: see `is_stream`."""

import re

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from adreel.records.sharing import SHARE_PATH

MINIMUM_BYTES = 500
LEVEL = 6
IN_LOOP_BYTES = 2**20
"""Size up to which a response is compressed in the event loop: all but the longest lists, in milliseconds."""
STREAMS = re.compile(rf"/outputs/|/api/videos/events/|/api/sessions/[^/]+/clips\.zip$|{SHARE_PATH}[^/]+/files/")


def is_stream(path: str) -> bool:
    """Whether a response may be long, or may last: a clip or the events of a job."""
    return bool(STREAMS.match(path))


class HeadMiddleware:
    """Answers HEAD like GET; the server leaves the body out. Streams have HEAD routes of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or is_stream(scope["path"]):
            await self._app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send)
        finally:
            # The access log and the metrics name the route.
            if "route" in as_get:
                scope["route"] = as_get["route"]


class CompressionMiddleware:
    """Compresses pages, JSON and static files for clients that accept gzip; `root` may precede the path."""

    def __init__(self, app: ASGIApp, root: str = "") -> None:
        self._app, self._root = app, root
        excluded = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream")
        self._compressed = GZipMiddleware(app, MINIMUM_BYTES, LEVEL, IN_LOOP_BYTES, exclude_content_types=excluded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        # GZipMiddleware would hold the headers of a stream back until its first bytes.
        is_plain = scope["type"] != "http" or is_stream(scope["path"].removeprefix(self._root))
        await (self._app if is_plain else self._compressed)(scope, receive, send)
