"""Azure Blob Storage: conditional puts by ETag."""

from pathlib import Path

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from adreel.storage.objects import Change, Objects

TRIES = 100


class Azure(Objects):
    """One container's blobs."""

    conditional = True

    def update(self, path: str, change: Change) -> bytes | None:
        """Read, change and put, and do so again if somebody else has put meanwhile."""
        for _ in range(TRIES):
            # The tag comes first: content that is newer than its tag is refused, never the other way round.
            tag = self.fs.info(path)["etag"] if self.fs.exists(path) else None
            old = self._content(path) if tag else None
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
        raise BlockingIOError("others change it all the time")

    def publish(self, source: Path, path: str) -> bool:
        """Put a file under a name that nobody else has, in blocks."""
        try:
            self.fs.put_file(str(source), path, mode="create", max_concurrency=1)
        except FileExistsError:
            return False
        return True
