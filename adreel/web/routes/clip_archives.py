"""The current clips of an ad as one ZIP file. It is streamed, so that no clip is held in memory or copied to disk."""

import io
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from typing import Annotated
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from adreel.errors import StorageError
from adreel.orchestration.thread_pools import CLIPS, run_in, run_in_threadpool, run_later
from adreel.records.clip_archive import ArchivedClip, ClipArchive, clip_archive
from adreel.storage import Storage
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.openapi import answers

CHUNK = 256 * 1024
MEDIA_TYPE = "application/zip"
MAX_PLAIN_BYTES = 2**31 - 1
"""Size above which ZIP has longer headers."""
# A header before each clip and a checksum behind it, an entry in the directory, and the end of the directory.
ENTRY_BYTES, END_BYTES = 30 + 16 + 46, 22

router = APIRouter(prefix="/api/sessions/{session_id}", tags=["sessions"])


class _Chunks(io.RawIOBase):
    """Collects what is written until it is taken. It can't be sought, as a response can't."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        self._written += content
        return len(content)

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken


@router.head("/clips.zip", include_in_schema=False)
@router.get(
    "/clips.zip",
    response_class=Response,
    responses={
        200: {
            "description": "The clips, stored without compression",
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        },
        **answers(404, 409, 503),
    },
)
async def read_clips(
    session_id: SessionId,
    request: Request,
    service: ServiceDep,
    *,
    allow_missing: Annotated[bool, Query(description="Leave out the scenes that have no clip")] = False,
) -> Response:
    """Download the current clips of an ad as one ZIP file, in the order of the ad: `glowcap-1-hook.mp4`.

    409 if a scene has no clip.
    """
    await run_in_threadpool(service.session, session_id)
    archive = await run_in_threadpool(clip_archive, service.records, session_id, allow_missing=allow_missing)
    headers = {"Content-Disposition": f'attachment; filename="{archive.name}"'}
    if (length := archive_bytes(archive)) <= MAX_PLAIN_BYTES:
        headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return Response(headers=headers, media_type=MEDIA_TYPE)
    return StreamingResponse(_stream(service.records.storage, archive.clips), 200, headers, MEDIA_TYPE)


def archive_bytes(archive: ClipArchive) -> int:
    """Return the size of a ZIP file of stored clips."""
    return END_BYTES + sum(clip.size + ENTRY_BYTES + 2 * len(clip.name) for clip in archive.clips)


async def _stream(storage: Storage, clips: list[ArchivedClip]) -> AsyncIterator[bytes]:
    """Yield the ZIP file. If the storage fails midway, the connection ends and the response is truncated."""
    chunks = _Chunks()
    with closing(ZipFile(chunks, "w", ZIP_STORED)) as archive:
        for clip in clips:
            entry = ZipInfo(clip.name, clip.stored_at.timetuple()[:6])
            entry.external_attr, entry.file_size = 0o644 << 16, clip.size
            with archive.open(entry, "w") as file:
                async for content in _read(storage, clip):
                    file.write(content)
                    yield chunks.take()
    yield chunks.take()


async def _read(storage: Storage, clip: ArchivedClip) -> AsyncIterator[bytes]:
    stream = await run_in(CLIPS, partial(storage.open, clip.file))
    try:
        left = clip.size
        while left:
            content = await run_in(CLIPS, partial(stream.read, min(CHUNK, left)))
            if not content:
                raise StorageError(f"{clip.file} ended {left} bytes too early")
            left -= len(content)
            yield content
    finally:
        # close() would wait for a read that hangs.
        run_later(CLIPS, stream.close)
