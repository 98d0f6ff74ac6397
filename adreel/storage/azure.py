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

    def names(self, path: str) -> list[str]:
        container, prefix = self._folder(path)
        return self._list(container, container.walk_blobs(name_starts_with=prefix, delimiter="/"))

    def files(self, path: str) -> list[str]:
        container, prefix = self._folder(path)
        return self._list(container, container.list_blobs(name_starts_with=prefix))

    def _folder(self, path: str) -> tuple[Any, str]:
        """Return the client of the container, and the start of the names in a folder."""
        container, key, _ = self.fs.split_path(path)
        return self.fs.service_client.get_container_client(container), f"{key}/" if key else ""

    def _list(self, container: Any, blobs: Any) -> list[str]:
        """List blobs, thousands of names per request."""
        pages, found = blobs.by_page(), list[str]()

        async def read_page() -> bool:
            try:
                page = await anext(pages)
            except StopAsyncIteration:
                return False
            found.extend([f"{container.container_name}/{blob.name}" async for blob in page])
            return True

        while self._run(read_page):
            pass
        return found

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
