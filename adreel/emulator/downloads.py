"""Serves the rendered files over HTTP, with length and ranges, or as a fault changes the response."""

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from aiohttp import web

from adreel.emulator.clip_faults import POINTS, odd_bytes, odd_output
from adreel.emulator.faults import Faults, Point
from adreel.emulator.images import InputImages
from adreel.emulator.ledger import SUCCESS, Entry, Ledger
from adreel.emulator.rendering import Renderer
from adreel.emulator.transports import reset_connection

ELSEWHERE = "https://elsewhere.invalid/clip.mp4"
MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
WEB_PAGE = b"<!doctype html><title>Sign in</title><h1>Please sign in to continue</h1>"
DRIP_BYTES = 1024
LOOKS_COMPLETE = {None, "slowDrip", "shortBodyNoLength"}
"""Faults under which a download looks complete, truncated or not."""


@dataclass(frozen=True)
class Download:
    """The response for a file. `promised` is the length in the header, None for no length."""

    body: bytes
    promised: int | None
    content_type: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    dripping: bool = False


def _instead(body: bytes, **changes: object) -> Callable[[Download], Download]:
    page = Download(body, len(body), "text/html")
    return lambda _: replace(page, **changes)  # type: ignore[arg-type]


def _half(download: Download) -> bytes:
    return download.body[: len(download.body) // 2]


DOWNLOAD_FAULTS: dict[str, Callable[[Download], Download]] = {
    "gone404": _instead(b"not found", status=404),
    "forbidden403": _instead(b"forbidden", status=403),
    "html200": _instead(WEB_PAGE),
    "emptyBody": lambda download: Download(b"", 0, download.content_type),
    "redirectElsewhere": _instead(b"", status=302, headers={"Location": ELSEWHERE}),
    "shortBody": lambda download: replace(download, body=_half(download)),
    "shortBodyNoLength": lambda download: replace(download, body=_half(download), promised=None),
    "slowDrip": lambda download: replace(download, dripping=True),
}


class Downloads:
    """Serves the files of successful tasks."""

    def __init__(
        self, ledger: Ledger, faults: Faults, renderer: Renderer, images: InputImages, *, drip_seconds: float
    ) -> None:
        self._ledger, self._faults, self._renderer, self._images = ledger, faults, renderer, images
        self._drip_seconds = drip_seconds

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the file of a task."""
        self._ledger.counters.downloads += 1
        name = request.match_info["name"]
        entry = self._ledger.find(name.partition(".")[0])
        if entry is None or entry.outcome != SUCCESS or entry.file != name.lower():
            raise web.HTTPNotFound
        body = await self._file_bytes(entry)
        fault = self._faults.strike(Point.DOWNLOAD, entry.targets)
        kind = MEDIA_TYPES[entry.output.suffix]
        whole = Download(body, len(body), kind, headers={"Accept-Ranges": "bytes"})
        download = _select_range(whole, request.headers.get("Range", ""))
        download = DOWNLOAD_FAULTS[fault](download) if fault else download
        if fault in LOOKS_COMPLETE:
            self._ledger.serve(entry.uuid, sha256=hashlib.sha256(download.body).hexdigest())
        response = web.StreamResponse(status=download.status, headers=download.headers)
        response.content_type = download.content_type
        response.content_length = download.promised
        await response.prepare(request)
        if request.method != "HEAD":
            step = DRIP_BYTES if download.dripping else max(1, len(download.body))
            for start in range(0, len(download.body), step):
                await response.write(download.body[start : start + step])
                if download.dripping:
                    await asyncio.sleep(self._drip_seconds)
        if download.promised is not None and len(download.body) < download.promised:
            reset_connection(request.transport)
        else:
            await response.write_eof()
        return response

    async def serve_upload(self, request: web.Request) -> web.Response:
        """Send an uploaded image."""
        image = self._ledger.find_upload(request.match_info["uuid"])
        if image is None:
            raise web.HTTPNotFound
        return web.Response(body=self._images.read(image), content_type=self._images.media_type(image))

    async def _file_bytes(self, entry: Entry) -> bytes:
        oddity = entry.oddity
        if oddity is None:
            # The fault is chosen before the first await: another request may arrive meanwhile.
            oddity = self._faults.strike(POINTS[entry.output.kind], entry.targets) or ""
            self._ledger.note_clip(entry.uuid, oddity=oddity)
        body = await self._renderer.rendered(odd_output(oddity, entry.output))
        if oddity:
            body = await asyncio.to_thread(odd_bytes, oddity, body)
        if entry.sha256 is None:
            self._ledger.note_clip(entry.uuid, oddity=oddity, sha256=hashlib.sha256(body).hexdigest())
        return body


def _select_range(download: Download, wanted: str) -> Download:
    """Return the requested range of a download. Only a single range is served."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted.strip())
    if match is None or not any(match.groups()):
        return download
    size = len(download.body)
    first = int(match[1]) if match[1] else max(0, size - int(match[2]))
    last = min(size - 1, int(match[2])) if match[1] and match[2] else size - 1
    if first > last:
        return replace(download, body=b"", promised=0, status=416, headers={"Content-Range": f"bytes */{size}"})
    body = download.body[first : last + 1]
    headers = {**download.headers, "Content-Range": f"bytes {first}-{last}/{size}"}
    return replace(download, body=body, promised=len(body), status=206, headers=headers)
