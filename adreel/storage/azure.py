"""Azure Blob Storage: conditional puts by ETag."""

from contextlib import suppress
from pathlib import Path

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from adreel.storage.backend import RECORD_BYTES, Change, StorageBackend

MAX_TRIES = 100


class Azure(StorageBackend):
    """The blobs of a container."""

    conditional = True
    concurrent = True
    atomic = True

    def update(self, path: str, change: Change) -> bytes | None:
        for _ in range(MAX_TRIES):
            # The ETag is read first: if the content is newer, the put is refused.
            tag = self.fs.info(path)["etag"] if self.fs.exists(path) else None
            old = None
            if tag:
                with suppress(FileNotFoundError):
                    old = self.read(path, RECORD_BYTES)
            new = change(old)
            if new is None:
                return old
            try:
                if tag:
                    self.fs.pipe_file(path, new, etag=tag, match_condition=MatchConditions.IfNotModified)
                else:
                    self.fs.pipe_file(path, new, mode="create")
            except (ResourceModifiedError, ResourceNotFoundError, FileExistsError):
                continue
            return new
        raise BlockingIOError("other writers kept changing it")

    def publish(self, source: Path, path: str) -> bool:
        try:
            self.fs.put_file(str(source), path, mode="create", max_concurrency=1)
        except FileExistsError:
            return False
        return True
