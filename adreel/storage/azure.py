"""Azure Blob Storage: conditional puts by ETag."""

import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

from adreel.storage.backend import too_large
from adreel.storage.object_store import RECORD_TIMEOUT, ObjectStore, run_limited
from adreel.storage.versions import Version

WRITE_ID = "adreel_write"
"""Metadata key of a record that identifies the put that wrote it."""
T = TypeVar("T")


class Azure(ObjectStore):
    """The blobs of a container. adlfs reads and publishes clips; its service client, which has ETags, does the rest."""

    absent_tag = '"0x0"'

    def get_version(self, path: str, most: int) -> tuple[Version, str]:
        async def download() -> tuple[Version, str]:
            stream = await self._blob(path).download_blob()
            if stream.size > most:
                raise too_large(most)
            content, facts = await stream.readall(), stream.properties
            return Version(bytes(content), str(facts.etag)), (facts.metadata or {}).get(WRITE_ID, "")

        try:
            return self._run(download)
        except ResourceNotFoundError as error:
            raise FileNotFoundError(path) from error

    def put_version(self, path: str, old: Version, new: bytes, write_id: str) -> str | None:
        condition: dict[str, Any] = {"overwrite": False}
        if old.content is not None:
            condition = {"overwrite": True, "etag": old.etag, "match_condition": MatchConditions.IfNotModified}

        async def upload() -> str:
            reply = await self._blob(path).upload_blob(new, metadata={WRITE_ID: write_id}, **condition)
            return str(reply["etag"])

        try:
            return self._run(upload)
        except (ResourceExistsError, ResourceModifiedError):
            return None
        except ResourceNotFoundError:
            if old.content is None:
                raise
            return None

    def publish(self, source: Path, path: str) -> bool:
        try:
            self.fs.put_file(str(source), path, mode="create", max_concurrency=1)
        except FileExistsError:
            return False
        return True

    def _blob(self, path: str) -> Any:
        container, key, _ = self.fs.split_path(path)
        return self.fs.service_client.get_blob_client(container, key)

    def _run(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return run_limited(self.fs, call, RECORD_TIMEOUT)
        except ResourceNotFoundError as error:
            if error.error_code == "ContainerNotFound":
                # The storage itself is missing, not a blob in it.
                raise OSError(errno.ENXIO, "there is no such container") from error
            raise
