"""S3 and compatible stores: conditional puts, and clips in multipart uploads.

s3fs does not upload the clips: it holds ten parts of 50 MB in memory, and completes the upload of a file that was
truncated in the meantime.
"""

import errno
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, BinaryIO, TypeVar

from adreel.storage.backend import check_unchanged, too_large
from adreel.storage.object_store import RECORD_TIMEOUT, ObjectStore, pauses, run_limited
from adreel.storage.versions import Version

PART_BYTES = 5 * 1024 * 1024
"""Size of a part of a clip: the minimum of S3, which takes at most 10,000 parts."""
_PARTS_IN_MEMORY = BoundedSemaphore(4)
PART_TIMEOUT = 120.0
"""Seconds for a request for a part of a clip, with all its retries."""
MAX_PAGES = 10_000
"""Maximum pages of a listing, of a thousand names each."""
ENDLESS = "the server's listing repeats itself or does not end"
# Error codes of a failed condition; 409 means that another write is still in progress.
REFUSALS = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
CONFLICTS = {"ConditionalRequestConflict", "409"}
WRITE_ID = "adreel-write"
"""Metadata key of a record that identifies the put that wrote it."""
T = TypeVar("T")


class S3(ObjectStore):
    """A bucket of a server that supports If-Match and If-None-Match on puts."""

    part_size = PART_BYTES
    absent_tag = '"0"'

    def get_version(self, path: str, most: int) -> tuple[Version, str]:
        content, etag, write_id = self._get(path, most)
        return Version(content, etag), write_id

    def put_version(self, path: str, old: Version, new: bytes, write_id: str) -> str | None:
        condition = {"IfNoneMatch": "*"} if old.content is None else {"IfMatch": old.etag}
        try:
            return self._put(path, RECORD_TIMEOUT, Body=new, Metadata={WRITE_ID: write_id}, **condition)
        except OSError as error:
            was_removed = old.content is not None and isinstance(error, FileNotFoundError)
            if _error_code(error) not in REFUSALS and not was_removed:
                raise
            return None

    def read(self, path: str, most: int | None = None) -> bytes:
        return self._get(path, most)[0] if most is None else super().read(path, most)

    def write(self, path: str, content: bytes) -> None:
        self._versions.forget(path)
        self._put(path, RECORD_TIMEOUT, Body=content)

    def exists(self, path: str) -> bool:
        try:
            self.size(path)
        except FileNotFoundError:
            bucket, key, _ = self.fs.split_path(path)
            return bool(self._list_page(bucket, Prefix=_folder_prefix(key), MaxKeys=1).get("Contents"))
        return True

    def size(self, path: str) -> int:
        return int(self._call("head_object", path, seconds=RECORD_TIMEOUT)["ContentLength"])

    def remove(self, path: str) -> None:
        """Remove an object. S3 does not report a missing one."""
        self._versions.forget(path)
        self._call("delete_object", path, seconds=RECORD_TIMEOUT)

    def publish(self, source: Path, path: str) -> bool:
        for pause in pauses():
            try:
                with source.open("rb") as stream:
                    size = os.fstat(stream.fileno()).st_size
                    if size > PART_BYTES:
                        self._upload(stream, path, size)
                    else:
                        with _PARTS_IN_MEMORY:
                            self._put(path, PART_TIMEOUT, Body=_unchanged(stream.read(), size), IfNoneMatch="*")
            except OSError as error:
                if _error_code(error) in CONFLICTS:
                    time.sleep(pause)
                elif _error_code(error) in REFUSALS:
                    return False
                else:
                    raise
            else:
                return True
        raise BlockingIOError("other writers kept writing it")

    def names(self, path: str) -> list[str]:
        return self._list(path, Delimiter="/")

    def name_page(self, path: str, after: str | None) -> tuple[list[str], str | None]:
        names, following = self._names_page(path, after, Delimiter="/")
        if following == after is not None:
            raise OSError(ENDLESS)
        return names, following

    def files(self, path: str) -> list[str]:
        return self._list(path)

    def _list(self, path: str, **parameters: str) -> list[str]:
        found: set[str] = set()
        after = None
        for _ in range(MAX_PAGES):
            known = len(found)
            names, after = self._names_page(path, after, **parameters)
            found.update(names)
            if after is None:
                return list(found)
            if len(found) == known:
                break
        raise OSError(ENDLESS)

    def leftovers(self, root: str, before: datetime) -> list[str]:
        """Return the unfinished uploads that began before then, as KEY?uploadId=ID."""
        bucket, key, _ = self.fs.split_path(root)
        prefix = _folder_prefix(key)
        found: list[str] = []
        after: dict[str, Any] = {}
        while True:
            page = self._call("list_multipart_uploads", bucket, Prefix=prefix, **after)
            found += [
                f"{upload['Key'].removeprefix(prefix)}?uploadId={upload['UploadId']}"
                for upload in page.get("Uploads", [])
                if upload["Initiated"] < before
            ]
            if not page.get("IsTruncated"):
                return found
            after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _get(self, path: str, most: int | None) -> tuple[bytes, str, str]:
        """Return the content, the ETag and the ID of the last write."""
        bucket, key, _ = self.fs.split_path(path)

        async def get() -> tuple[bytes, str, str]:
            reply = await self.fs._call_s3("get_object", Bucket=bucket, Key=key)
            try:
                content = await _body(reply, most)
            except OSError:
                raise
            except Exception:
                # s3fs retries a request, but not the rest of its body if the connection breaks there.
                reply = await self.fs._call_s3("get_object", Bucket=bucket, Key=key)
                content = await _body(reply, most)
            return content, _etag(reply), reply.get("Metadata", {}).get(WRITE_ID, "")

        return self._run(get, RECORD_TIMEOUT if most else PART_TIMEOUT)

    def _names_page(self, path: str, after: str | None, **parameters: str) -> tuple[list[str], str | None]:
        """Return names of a page of a listing, and the token of the next page."""
        bucket, key, _ = self.fs.split_path(path)
        if after is not None:
            parameters["ContinuationToken"] = after
        page = self._list_page(bucket, Prefix=_folder_prefix(key), **parameters)
        keys = [each["Key"] for each in page.get("Contents", [])]
        keys += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        following = page.get("NextContinuationToken")
        if page["IsTruncated"] and not following:
            raise OSError(ENDLESS)
        return [f"{bucket}/{name}" for name in keys], str(following) if page["IsTruncated"] else None

    def _list_page(self, bucket: str, **parameters: Any) -> dict[str, Any]:
        page: dict[str, Any] = self._call("list_objects_v2", bucket, seconds=RECORD_TIMEOUT, **parameters)
        if "IsTruncated" not in page:
            raise OSError("the response is not a listing: it does not come from an S3 server")
        return page

    def _put(self, path: str, seconds: float, **parameters: Any) -> str:
        """Put an object and return its ETag."""
        return _etag(self._call("put_object", path, seconds=seconds, **parameters))

    def _upload(self, stream: BinaryIO, path: str, size: int) -> None:
        upload = self._call("create_multipart_upload", path)["UploadId"]
        parts = []
        try:
            for number, start in enumerate(range(0, size, PART_BYTES), 1):
                with _PARTS_IN_MEMORY:
                    # No variable holds the part: it would stay in memory while the next one waits.
                    reply = self._call(
                        "upload_part",
                        path,
                        UploadId=upload,
                        PartNumber=number,
                        Body=_unchanged(stream.read(PART_BYTES), min(PART_BYTES, size - start)),
                    )
                parts.append({"PartNumber": number, "ETag": reply["ETag"]})
            end = {"UploadId": upload, "MultipartUpload": {"Parts": parts}, "IfNoneMatch": "*"}
            _etag(self._call("complete_multipart_upload", path, **end))
        except BaseException:
            # The parts of an unfinished upload are billed, but not listed as objects.
            with suppress(Exception):
                self._call("abort_multipart_upload", path, UploadId=upload)
            raise

    def _call(self, method: str, path: str, *, seconds: float | None = None, **parameters: Any) -> Any:
        bucket, key, _ = self.fs.split_path(path)
        place = {"Bucket": bucket, "Key": key} if key else {"Bucket": bucket}
        return self._run(partial(self.fs._call_s3, method, **place, **parameters), seconds or PART_TIMEOUT)

    def _run(self, call: Callable[[], Awaitable[T]], seconds: float) -> T:
        try:
            return run_limited(self.fs, call, seconds)
        except FileNotFoundError as error:
            if _error_code(error) == "NoSuchBucket":
                # The storage itself is missing, not an object in it.
                raise OSError(errno.ENXIO, "there is no such bucket") from error.__cause__
            raise


async def _body(reply: dict[str, Any], most: int | None) -> bytes:
    if most is None:
        return bytes(await reply["Body"].read())
    content = bytearray()
    while chunk := await reply["Body"].read(PART_BYTES):
        content += chunk
        if len(content) > most:
            raise too_large(most)
    return bytes(content)


def _etag(reply: dict[str, Any]) -> str:
    # A captive portal or another server may answer with a page and status 200.
    if not reply.get("ETag"):
        raise OSError("the response has no ETag: it does not come from an S3 server")
    return str(reply["ETag"])


def _folder_prefix(key: str) -> str:
    return f"{key}/" if key else ""


def _unchanged(content: bytes, size: int) -> bytes:
    check_unchanged(len(content), size)
    return content


def _error_code(error: BaseException) -> str:
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
