"""Downloads: clips over HTTP with length and ranges, or as a fault leaves them."""

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from aiohttp import web

from adreel.emulator import wire
from adreel.emulator.clip import Clip
from adreel.emulator.faults import Faults, Point
from adreel.emulator.ledger import Entry, Ledger
from adreel.emulator.oddities import odd_bytes, odd_clip
from adreel.emulator.outcomes import SUCCESS
from adreel.emulator.renderer import Renderer

ELSEWHERE = "https://elsewhere.invalid/clip.mp4"
WEB_PAGE = b"<!doctype html><title>Sign in</title><h1>Please sign in to continue</h1>"
DRIP_BYTES = 1024
WHOLE_ENOUGH = {None, "slowDrip", "shortBodyNoLength"}
"""Faults whose truncated download looks complete."""


@dataclass(frozen=True)
class Download:
    """The response for a clip: `promised` is the length in the header, None for no length."""

    body: bytes
    promised: int | None
    status: int = 200
    content_type: str = "video/mp4"
    headers: dict[str, str] = field(default_factory=dict)
    dripping: bool = False

    @classmethod
    def whole(cls, body: bytes) -> "Download":
        """Send a clip as it is."""
        return cls(body, len(body), headers={"Accept-Ranges": "bytes"})

    @property
    def torn(self) -> bool:
        """Tell whether the body ends before the promised length."""
        return self.promised is not None and len(self.body) < self.promised


def _other(body: bytes, **changes: object) -> Callable[[Download], Download]:
    return lambda _: replace(Download(body, len(body), content_type="text/html"), **changes)  # type: ignore[arg-type]


def _half(download: Download) -> bytes:
    return download.body[: len(download.body) // 2]


EFFECTS: dict[str, Callable[[Download], Download]] = {
    "gone404": _other(b"not found", status=404),
    "forbidden403": _other(b"forbidden", status=403),
    "html200": _other(WEB_PAGE),
    "emptyBody": _other(b"", content_type="video/mp4"),
    "redirectElsewhere": _other(b"", status=302, headers={"Location": ELSEWHERE}),
    "shortBody": lambda download: replace(download, body=_half(download)),
    "shortBodyNoLength": lambda download: replace(download, body=_half(download), promised=None),
    "slowDrip": lambda download: replace(download, dripping=True),
}


class Downloads:
    """Serves the clips of tasks that ended well."""

    def __init__(self, ledger: Ledger, faults: Faults, renderer: Renderer, *, drip_seconds: float) -> None:
        self._ledger, self._faults, self._renderer = ledger, faults, renderer
        self._drip_seconds = drip_seconds

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send one clip."""
        self._ledger.counters.downloads += 1
        entry = self._ledger.find(request.match_info["uuid"])
        if entry is None or entry.outcome != SUCCESS:
            raise web.HTTPNotFound
        body = await self._clip_of(entry)
        fault = self._faults.strike(Point.DOWNLOAD, (entry.scenario,))
        download = _ranged(Download.whole(body), request.headers.get("Range", ""))
        download = EFFECTS[fault](download) if fault else download
        if fault in WHOLE_ENOUGH:
            self._ledger.serve(entry.uuid, sha256=hashlib.sha256(download.body).hexdigest())
        return await self._sent(request, download)

    async def _clip_of(self, entry: Entry) -> bytes:
        oddity = entry.oddity
        if oddity is None:
            # The fault is chosen before the first await: another request may arrive meanwhile.
            oddity = self._faults.strike(Point.CLIP, (entry.scenario,)) or ""
            self._ledger.note_clip(entry.uuid, oddity=oddity)
        body = await self._renderer.rendered(odd_clip(oddity, Clip.ordered(entry.request)))
        if oddity:
            body = await asyncio.to_thread(odd_bytes, oddity, body)
        if entry.sha256 is None:
            self._ledger.note_clip(entry.uuid, oddity=oddity, sha256=hashlib.sha256(body).hexdigest())
        return body

    async def _sent(self, request: web.Request, download: Download) -> web.StreamResponse:
        response = web.StreamResponse(status=download.status, headers=download.headers)
        response.content_type = download.content_type
        response.content_length = download.promised
        await response.prepare(request)
        if request.method != "HEAD":
            await self._write(response, download)
        if download.torn:
            wire.reset(request.transport)
        else:
            await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, download: Download) -> None:
        step = DRIP_BYTES if download.dripping else max(1, len(download.body))
        for start in range(0, len(download.body), step):
            await response.write(download.body[start : start + step])
            if download.dripping:
                await asyncio.sleep(self._drip_seconds)


def _ranged(download: Download, wanted: str) -> Download:
    """Cut a download to the range that was asked for; only a single one is served."""
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
