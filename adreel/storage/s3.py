"""S3 and what speaks like it: conditional puts, so that of several writers one wins and the others know.

A clip goes up in pieces of its own, not through s3fs: that one holds ten pieces of 50 MB at a time, and would finish
the upload of a file that was cut meanwhile.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random
from threading import BoundedSemaphore
from typing import Any, BinaryIO

from fsspec.asyn import sync

from adreel.storage.objects import Change, Objects

PIECE = 5 * 1024 * 1024
"""Bytes of a clip in one request: the least that S3 takes, of at most 10,000."""
_PIECES_IN_MEMORY = BoundedSemaphore(4)
SECONDS = 120.0
"""How long one request may take with all its retries."""
TRIES = 100
# What a condition that does not hold is answered with: 409 if the other writer is not through yet.
REFUSALS = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
CONFLICTS = {"ConditionalRequestConflict", "409"}
_dice = Random()  # noqa: S311 - spreads writers out, no secret


class S3(Objects):
    """One bucket's objects; needs a server that knows If-Match and If-None-Match on puts."""

    def read(self, path: str) -> bytes:
        """Return the content, in one request where s3fs asks for the size first."""
        return self._get(path)[0]

    def update(self, path: str, change: Change) -> bytes | None:
        """Read, change and put, and do so again if somebody else has put meanwhile."""
        for pause in _pauses():
            old, condition = self._look(path)
            new = change(old)
            if new is None:
                return old
            try:
                self._call("put_object", path, Body=new, **condition)
            except OSError as error:
                if _code(error) not in REFUSALS and not (old is not None and isinstance(error, FileNotFoundError)):
                    raise
                time.sleep(pause)
            else:
                return new
        raise BlockingIOError("others change it all the time")

    def publish(self, source: Path, path: str) -> bool:
        """Put a file under a name that nobody else has, in pieces if it is large."""
        for pause in _pauses():
            try:
                self._create(source, path)
            except OSError as error:
                if _code(error) in CONFLICTS:
                    time.sleep(pause)
                elif _code(error) in REFUSALS:
                    return False
                else:
                    raise
            else:
                return True
        raise BlockingIOError("others write it all the time")

    def names(self, path: str) -> list[str]:
        """Return the full names in a folder, asked for anew."""
        return [str(name) for name in self.fs.ls(path, detail=False, refresh=True)]

    def leftovers(self, root: str, before: datetime) -> list[str]:
        """Return the unfinished uploads that began before then, as KEY?uploadId=ID."""
        bucket, prefix, _ = self.fs.split_path(root)
        prefix = f"{prefix}/" if prefix else ""
        return [
            f"{upload['Key'].removeprefix(prefix)}?uploadId={upload['UploadId']}"
            for upload in self._uploads(bucket, prefix)
            if upload["Initiated"] < before
        ]

    def _uploads(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = self.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **after)
            yield from page.get("Uploads", [])
            if not page.get("IsTruncated"):
                return
            after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _look(self, path: str) -> tuple[bytes | None, dict[str, str]]:
        """Return the content and the condition under which it is still the one."""
        try:
            content, tag = self._get(path)
        except FileNotFoundError:
            return None, {"IfNoneMatch": "*"}
        return content, {"IfMatch": tag}

    def _get(self, path: str) -> tuple[bytes, str]:
        reply = self._call("get_object", path)
        try:
            return sync(self.fs.loop, reply["Body"].read), reply["ETag"]
        except Exception:
            # A connection that breaks between a reply's head and its end: s3fs has retried the head alone.
            reply = self._call("get_object", path)
            return sync(self.fs.loop, reply["Body"].read), reply["ETag"]

    def _create(self, source: Path, path: str) -> None:
        with source.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > PIECE:
                self._upload(stream, path, size)
                return
            with _PIECES_IN_MEMORY:
                self._call("put_object", path, Body=_whole(stream.read(), size), IfNoneMatch="*")

    def _upload(self, stream: BinaryIO, path: str, size: int) -> None:
        upload = self._call("create_multipart_upload", path)["UploadId"]
        try:
            parts = [self._send(stream, path, upload, number, size) for number in range(1, -(-size // PIECE) + 1)]
            self._call(
                "complete_multipart_upload",
                path,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            )
        except BaseException:
            # Pieces of an upload that nobody ends are paid for and seen by nobody.
            with suppress(Exception):
                self._call("abort_multipart_upload", path, UploadId=upload)
            raise

    def _send(self, stream: BinaryIO, path: str, upload: str, number: int, size: int) -> dict[str, Any]:
        with _PIECES_IN_MEMORY:
            piece = _whole(stream.read(PIECE), min(PIECE, size - (number - 1) * PIECE))
            reply = self._call("upload_part", path, UploadId=upload, PartNumber=number, Body=piece)
        return {"PartNumber": number, "ETag": reply["ETag"]}

    def _call(self, method: str, path: str, **parameters: Any) -> Any:
        bucket, key, _ = self.fs.split_path(path)
        return sync(self.fs.loop, self._answer, method, Bucket=bucket, Key=key, **parameters)

    async def _answer(self, method: str, **parameters: Any) -> Any:
        # A server that stops to read would hold an upload for ever: the HTTP client waits for its answers alone.
        try:
            async with asyncio.timeout(SECONDS):
                return await self.fs._call_s3(method, **parameters)
        except TimeoutError as error:
            raise OSError(f"no answer within {SECONDS:g} s") from error


def _whole(piece: bytes, size: int) -> bytes:
    if len(piece) != size:
        raise OSError(f"the file to publish has changed: {len(piece)} of {size} bytes are left of a piece")
    return piece


def _code(error: BaseException) -> str:
    """Return S3's own word for an error."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _pauses() -> Iterator[float]:
    return (_dice.random() * min(0.01 * tries, 0.5) for tries in range(1, TRIES))
