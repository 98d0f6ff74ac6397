"""S3 and what speaks like it: conditional puts, so that of several writers one wins and the others know.

A clip goes up in pieces of its own, not through s3fs: that one holds ten pieces of 50 MB at a time, and would finish
the upload of a file that was cut meanwhile.
"""

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from threading import BoundedSemaphore
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

from fsspec.asyn import sync

from adreel.storage.objects import RECORD_BYTES, Change, Objects, too_large

PIECE = 5 * 1024 * 1024
"""Bytes of a clip in one request: the least that S3 takes, of at most 10,000."""
_PIECES_IN_MEMORY = BoundedSemaphore(4)
SECONDS = 120.0
"""Time limit of a request for a piece of a clip, with all its retries."""
RECORD_SECONDS = 30.0
"""Time limit of a request for a record or a page of a listing."""
TRIES = 100
# Error codes of a failed condition; 409 means that another write is still in progress.
REFUSALS = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
CONFLICTS = {"ConditionalRequestConflict", "409"}
MARK = "adreel-write"
"""Metadata key of a record that identifies its write."""
PAGES = 10_000
"""Maximum pages of a listing, of a thousand names each."""
_dice = Random()  # noqa: S311 - spreads writers out, no secret
T = TypeVar("T")


class S3(Objects):
    """One bucket's objects; needs a server that knows If-Match and If-None-Match on puts."""

    conditional = True
    piece = PIECE

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return the content, in one request where s3fs asks for the size first."""
        return self._get(path, most)[0]

    def write(self, path: str, content: bytes) -> None:
        """Write a small file."""
        self._put(path, RECORD_SECONDS, Body=content)

    def exists(self, path: str) -> bool:
        """Whether an object exists, or any object under its name as a folder."""
        try:
            self.size(path)
        except FileNotFoundError:
            bucket, key, _ = self.fs.split_path(path)
            return bool(self._page(bucket, Prefix=_folder(key), MaxKeys=1).get("Contents"))
        return True

    def size(self, path: str) -> int:
        """Return the bytes of an object; FileNotFoundError if it is missing."""
        return int(self._call("head_object", path, seconds=RECORD_SECONDS)["ContentLength"])

    def remove(self, path: str) -> None:
        """Remove an object; S3 does not report a missing one."""
        self._call("delete_object", path, seconds=RECORD_SECONDS)

    def update(self, path: str, change: Change) -> bytes | None:
        """Read, change and put conditionally; start again if another writer has put meanwhile.

        The client repeats a put whose answer was lost, and its own condition then fails. The mark distinguishes this
        from another writer's put.
        """
        mark, new = uuid4().hex, None
        for pause in _pauses():
            old, condition, found = self._look(path)
            if new is not None and found == mark:
                return old
            new = change(old)
            if new is None:
                return old
            try:
                self._put(path, RECORD_SECONDS, Body=new, Metadata={MARK: mark}, **condition)
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
        bucket, key, _ = self.fs.split_path(path)
        found: set[str] = set()
        after: dict[str, str] = {}
        for _ in range(PAGES):
            page = self._page(bucket, Prefix=_folder(key), Delimiter="/", **after)
            known = len(found)
            found |= {str(each["Key"]) for each in page.get("Contents", [])}
            found |= {str(each["Prefix"]) for each in page.get("CommonPrefixes", [])}
            if not page.get("IsTruncated"):
                return [f"{bucket}/{name}" for name in found]
            if len(found) == known or not page.get("NextContinuationToken"):
                break
            after = {"ContinuationToken": page["NextContinuationToken"]}
        raise OSError("the server's listing repeats itself or does not end")

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

    def _look(self, path: str) -> tuple[bytes | None, dict[str, str], str]:
        """Return the content, the condition for an unchanged object, and the mark of its writer."""
        try:
            content, tag, mark = self._get(path, RECORD_BYTES)
        except FileNotFoundError:
            return None, {"IfNoneMatch": "*"}, ""
        return content, {"IfMatch": tag}, mark

    def _get(self, path: str, most: int | None) -> tuple[bytes, str, str]:
        bucket, key, _ = self.fs.split_path(path)
        seconds = RECORD_SECONDS if most else SECONDS
        return self._within(self._get_whole, most, seconds=seconds, Bucket=bucket, Key=key)

    async def _get_whole(self, most: int | None, **place: str) -> tuple[bytes, str, str]:
        reply = await self.fs._call_s3("get_object", **place)
        try:
            content = await _body(reply, most)
        except OSError:
            raise
        except Exception:
            # A connection that breaks between a reply's head and its end: s3fs has retried the head alone.
            reply = await self.fs._call_s3("get_object", **place)
            content = await _body(reply, most)
        return content, _tag(reply), reply.get("Metadata", {}).get(MARK, "")

    def _page(self, bucket: str, **parameters: Any) -> dict[str, Any]:
        page: dict[str, Any] = self._call("list_objects_v2", bucket, seconds=RECORD_SECONDS, **parameters)
        if "IsTruncated" not in page:
            raise OSError("the answer is no listing: it is not that of an S3 server")
        return page

    def _put(self, path: str, seconds: float, **parameters: Any) -> None:
        _tag(self._call("put_object", path, seconds=seconds, **parameters))

    def _create(self, source: Path, path: str) -> None:
        with source.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > PIECE:
                self._upload(stream, path, size)
                return
            with _PIECES_IN_MEMORY:
                self._put(path, SECONDS, Body=_whole(stream.read(), size), IfNoneMatch="*")

    def _upload(self, stream: BinaryIO, path: str, size: int) -> None:
        upload = self._call("create_multipart_upload", path)["UploadId"]
        try:
            parts = [self._send(stream, path, upload, number, size) for number in range(1, -(-size // PIECE) + 1)]
            ended = {"UploadId": upload, "MultipartUpload": {"Parts": parts}, "IfNoneMatch": "*"}
            _tag(self._call("complete_multipart_upload", path, **ended))
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

    def _call(self, method: str, path: str, *, seconds: float | None = None, **parameters: Any) -> Any:
        bucket, key, _ = self.fs.split_path(path)
        place = {"Bucket": bucket, "Key": key} if key else {"Bucket": bucket}
        return self._within(self.fs._call_s3, method, seconds=seconds, **place, **parameters)

    def _within(self, call: Callable[..., Awaitable[T]], *given: Any, seconds: float | None = None, **named: Any) -> T:
        try:
            answer: T = sync(self.fs.loop, _answer, seconds or SECONDS, partial(call, *given, **named))
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                # A missing bucket means that the storage itself is missing, not an object in it.
                raise OSError(errno.ENXIO, "there is no such bucket") from error.__cause__
            raise
        return answer


async def _answer(seconds: float, call: Callable[[], Awaitable[T]]) -> T:
    # The HTTP client has a time limit for answers only: a server that stops reading would block an upload for ever.
    try:
        async with asyncio.timeout(seconds):
            return await call()
    except TimeoutError as error:
        raise OSError(f"no answer within {seconds:g} s") from error


async def _body(reply: dict[str, Any], most: int | None) -> bytes:
    if most is None:
        return bytes(await reply["Body"].read())
    content = bytearray()
    while piece := await reply["Body"].read(PIECE):
        content += piece
        if len(content) > most:
            raise too_large(most)
    return bytes(content)


def _tag(reply: dict[str, Any]) -> str:
    # Another server may answer with a page and a good status.
    if not reply.get("ETag"):
        raise OSError("the answer has no ETag: it is not that of an S3 server")
    return str(reply["ETag"])


def _folder(key: str) -> str:
    return f"{key}/" if key else ""


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
