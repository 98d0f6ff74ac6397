"""Clips and posters from any storage, with ranges, so that a browser can play and seek them.

A stored file never changes, so its name and size are its ETag.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, BinaryIO
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from adreel.errors import ClipUnavailable, NotFound, StorageError
from adreel.models.parts import PARTS
from adreel.orchestration.thread_pools import CLIPS, run_in, run_later
from adreel.purchase.posters import draw_missing_poster
from adreel.service import Service
from adreel.storage import Storage
from adreel.web.dependencies import ServiceDep
from adreel.web.openapi import answers
from adreel.web.problems import HTTPProblem

TYPES = {".mp4": "video/mp4", ".flac": "audio/flac", ".jpg": "image/jpeg", ".srt": "application/x-subrip"}
# Only clips, finished ads and their posters and captions: no record, no folder, no path out of the storage.
FILE_PATTERN = (
    rf"^[A-Za-z0-9_-]{{1,64}}_(({'|'.join(PARTS)})_[0-9a-f]{{8}}\.(mp4|flac|jpg|aside\.[a-z0-9]{{1,8}})"
    r"|cut_[0-9a-f]{8}_\d{1,2}x\d{1,2}\.(mp4|jpg|srt))$"
)
ASIDE = ".aside."
CHUNK = 256 * 1024
CONTENT = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in TYPES.values()}

router = APIRouter(tags=["outputs"])


@dataclass(frozen=True)
class Part:
    """The bytes of a file to send, and the status of the response."""

    first: int
    last: int
    status: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1


@router.head("/outputs/{file}", include_in_schema=False)
@router.get(
    "/outputs/{file}",
    response_class=Response,
    responses={
        200: {"description": "The whole file", "content": CONTENT},
        307: {"description": "Redirect to the URL of the object store"},
        206: {"description": "The requested range", "content": CONTENT},
        304: {"description": "The file is the one of `If-None-Match`"},
        **answers(404, 416, 503),
    },
)
async def output(
    file: Annotated[str, Path(max_length=120, examples=["abc-123_hook_35f85e76.mp4"])],
    request: Request,
    service: ServiceDep,
    *,
    download: Annotated[bool, Query(description="Have a browser save the file; never a redirect")] = False,
    requested: Annotated[str | None, Header(alias="Range", examples=["bytes=0-1023"])] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Serve a clip, a finished ad, a poster, an SRT file or a file that was kept aside, whole or the requested range.

    The poster of a clip is drawn when it is first asked for. With ADREEL_SIGNED_SECONDS it redirects to a signed URL of
    the object store, if the store has such URLs.
    """
    found = await run_in(CLIPS, partial(_open, service, file, may_redirect=not download))
    if isinstance(found, str):
        return RedirectResponse(found, 307, {"Cache-Control": "no-store"})
    stream, size = found
    etag = f'"{file}-{size}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable", "Accept-Ranges": "bytes"}
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    if known & {etag, "*"}:
        stream.close()
        return Response(status_code=304, headers=headers)
    try:
        part = choose_part(requested if if_range in {None, etag} else None, size)
    except HTTPProblem:
        stream.close()
        raise
    headers["Content-Length"] = str(part.length)
    if part.status == 206:
        headers["Content-Range"] = f"bytes {part.first}-{part.last}/{size}"
    kind = TYPES.get(PurePosixPath(file).suffix, "")
    if download or ASIDE in file:
        headers["Content-Disposition"] = f'attachment; filename="{file}"'
    if ASIDE in file:
        # These bytes are untrusted and could not be probed. Browsers must save them, not show them.
        kind = "application/octet-stream"
    if request.method == "HEAD":
        stream.close()
        return Response(status_code=part.status, headers=headers, media_type=kind)
    return StreamingResponse(_read(stream, part), part.status, headers, kind)


def choose_part(requested: str | None, size: int) -> Part:
    """Return the bytes of a Range header. Anything but a single range of bytes gets the whole file, as in RFC 9110."""
    whole = Part(0, size - 1, 200)
    found = re.fullmatch(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", requested or "", re.ASCII)
    if not found or found.groups() == ("", ""):
        return whole
    begin, end = found.groups()
    if not begin:
        first, last = max(0, size - int(end)), size - 1
    else:
        first, last = int(begin), min(int(end), size - 1) if end else size - 1
        if end and int(end) < first:
            return whole
    if first > last:
        detail = f"the file has {size} bytes"
        raise HTTPProblem(416, "range", detail, headers={"Content-Range": f"bytes */{size}"})
    return Part(first, last, 206)


def signed_host(storage: Storage) -> str | None:
    """Return the origin of the storage's signed URLs; None if it has none."""
    url = storage.sign("any.mp4", 60)
    return "{0.scheme}://{0.netloc}".format(urlsplit(url)) if url else None


def _open(service: Service, file: str, *, may_redirect: bool) -> str | tuple[BinaryIO, int]:
    """Return the object store's own URL of a file, if the settings ask for it, else the open file and its size."""
    storage, seconds = service.records.storage, service.settings.signed_seconds
    if not re.fullmatch(FILE_PATTERN, file):
        raise NotFound("no such clip or poster")
    # A store's own URL would let a browser open a file that was kept aside, or one that it was to save.
    if seconds and may_redirect and ASIDE not in file and storage.exists(file) and (url := storage.sign(file, seconds)):
        return url
    try:
        try:
            stream = storage.open(file)
        except FileNotFoundError:
            if not draw_missing_poster(service.records, file):
                raise
            stream = storage.open(file)
        try:
            return stream, stream.seek(0, 2)
        except BaseException:
            stream.close()
            raise
    except (FileNotFoundError, StorageError) as error:
        if isinstance(error, StorageError) and not isinstance(error.__cause__, IsADirectoryError):
            raise
        raise NotFound("no such clip or poster") from None
    except ClipUnavailable as error:
        raise HTTPProblem(503, error.code, str(error)) from error


async def _read(stream: BinaryIO, part: Part) -> AsyncIterator[bytes]:
    """Yield the bytes of a range. If the storage hangs midway, the connection ends and the response is truncated."""
    try:
        await run_in(CLIPS, partial(stream.seek, part.first))
        left = part.length
        while left and (chunk := await run_in(CLIPS, partial(stream.read, min(CHUNK, left)))):
            left -= len(chunk)
            yield chunk
    finally:
        # close() would wait for a read that hangs.
        run_later(CLIPS, stream.close)
