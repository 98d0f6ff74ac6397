"""Clips and posters, from any storage, so that a browser can play and seek them.

A stored file never changes, so its name and size are its ETag.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, BinaryIO
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Path, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from adreel.errors import NotFound, StorageError
from adreel.models.scenarios import Scenario
from adreel.orchestration.thread_pools import CLIPS, run_in, run_later
from adreel.service import Service
from adreel.storage import Storage
from adreel.web.dependencies import ServiceDep
from adreel.web.openapi import answers
from adreel.web.problems import HTTPProblem

TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg"}
# Nothing but clips and posters: no record, no folder, no way out of the storage.
FILE_PATTERN = rf"^[A-Za-z0-9_-]{{1,64}}_({'|'.join(Scenario)})_[0-9a-f]{{8}}\.(mp4|jpg|aside\.[a-z0-9]{{1,8}})$"
ASIDE = ".aside."
CHUNK = 256 * 1024
CONTENT = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in TYPES.values()}

router = APIRouter(tags=["outputs"])


@dataclass(frozen=True)
class Part:
    """Which bytes of a file, and the status that says so."""

    first: int
    last: int
    status: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1


@router.head("/outputs/{file}", include_in_schema=False)
@router.get(
    "/outputs/{file}",
    response_class=Response,
    responses={
        200: {"description": "The whole file", "content": CONTENT},
        307: {"description": "Where the object store has it"},
        206: {"description": "The range that was asked for", "content": CONTENT},
        304: {"description": "It is still the one of `If-None-Match`"},
        **answers(404, 416, 503),
    },
)
async def output(
    file: Annotated[str, Path(max_length=120, examples=["abc-123_hook_35f85e76.mp4"])],
    request: Request,
    service: ServiceDep,
    *,
    requested: Annotated[str | None, Header(alias="Range", examples=["bytes=0-1023"])] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Serve a clip, a poster or a file that was kept aside, whole or the range that a player asks for.

    With ADREEL_SIGNED_SECONDS it leads to the object store's own URL, if that has any.
    """
    if url := await run_in(CLIPS, partial(_signed, service, file)):
        return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    stream, size = await run_in(CLIPS, partial(_open, service, file))
    etag = f'"{file}-{size}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable", "Accept-Ranges": "bytes"}
    if if_none_match and _matches(if_none_match, etag):
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
    kind = TYPES.get(file[-4:], "")
    if ASIDE in file:
        # These bytes are untrusted and could not be probed. Browsers must save them, not show them.
        kind, headers["Content-Disposition"] = "application/octet-stream", f'attachment; filename="{file}"'
    if request.method == "HEAD":
        stream.close()
        return Response(status_code=part.status, headers=headers, media_type=kind)
    return StreamingResponse(_read(stream, part), part.status, headers, kind)


def choose_part(requested: str | None, size: int) -> Part:
    """Return which bytes a Range header asks for; what is no single range of bytes is answered with all of them."""
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
    """Return the origin of the storage's own URLs; None if it has none."""
    url = storage.sign("any.mp4", 60)
    return "{0.scheme}://{0.netloc}".format(urlsplit(url)) if url else None


def _signed(service: Service, file: str) -> str | None:
    seconds, storage = service.settings.signed_seconds, service.records.storage
    # A store's own URL would let a browser open a file that was kept aside.
    if not seconds or ASIDE in file or not re.fullmatch(FILE_PATTERN, file) or not storage.exists(file):
        return None
    return storage.sign(file, seconds)


def _open(service: Service, file: str) -> tuple[BinaryIO, int]:
    """Open a file and return it with its size."""
    if re.fullmatch(FILE_PATTERN, file):
        try:
            stream = service.records.storage.open(file)
            try:
                return stream, stream.seek(0, 2)
            except BaseException:
                stream.close()
                raise
        except FileNotFoundError:
            pass
        except StorageError as error:
            if not isinstance(error.__cause__, IsADirectoryError):
                raise
    raise NotFound("no such clip or poster")


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


def _matches(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in {each.strip().removeprefix("W/") for each in header.split(",")}
