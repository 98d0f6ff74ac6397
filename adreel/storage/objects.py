"""Operations that a storage needs of a file system, and their base implementation: whole files through fsspec.

Each backend overrides what it can promise better. Paths are those of the file system, from its root.
"""

import errno
import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from adreel.errors import StorageUnavailable

Change = Callable[[bytes | None], bytes | None]

BLOCK = 4 * 1024 * 1024
"""How much more than it was asked for an open file may fetch, in bytes."""


RECORD_BYTES = 16 * 1024 * 1024
"""Maximum size of a record in bytes."""


def too_large(most: int) -> OSError:
    """Return the error for a file above its size limit."""
    return OSError(errno.EFBIG, f"it is larger than {most // 2**20} MiB")


class Objects:
    """Files that are put in place by one request; a look before it is all that keeps an earlier one."""

    conditional: ClassVar[bool] = False
    """Whether an update is a conditional put, which the server must support."""
    piece: ClassVar[int] = 0
    """Bytes above which a clip is uploaded in pieces; 0 for never."""
    opening: dict[str, Any] = {"block_size": BLOCK, "cache_type": "readahead"}  # noqa: RUF012 - never changed

    def __init__(self, fs: Any) -> None:
        self.fs = fs

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return the content of bounded size; FileNotFoundError if it is missing."""
        content = bytes(self.fs.cat_file(path))
        if most is not None and len(content) > most:
            raise too_large(most)
        return content

    def write(self, path: str, content: bytes) -> None:
        """Put a small file in place."""
        self.fs.pipe_file(path, content)

    def update(self, path: str, change: Change) -> bytes | None:
        """Write what `change` makes of the content (None: leave it); returns what stands then."""
        old = self._content(path)
        new = change(old)
        if new is None:
            return old
        self.write(path, new)
        return new

    def publish(self, source: Path, path: str) -> bool:
        """Put a local file in place, unless something is there."""
        if self.fs.exists(path):
            return False
        self.fs.put_file(str(source), path)
        return True

    def open(self, path: str) -> BinaryIO:
        """Open for reading, with seek."""
        return cast(BinaryIO, _Reading(self.fs.open(path, "rb", **self.opening)))

    def names(self, path: str) -> list[str]:
        """Return the full names in a folder."""
        self.fs.invalidate_cache()
        return [str(name) for name in self.fs.ls(path, detail=False)]

    def exists(self, path: str) -> bool:
        """Whether a file or a folder is there."""
        return bool(self.fs.exists(path))

    def size(self, path: str) -> int:
        """Return the bytes of a file; FileNotFoundError if it is missing."""
        return int(self.fs.size(path))

    def remove(self, path: str) -> None:
        """Remove a file; FileNotFoundError if there is none."""
        self.fs.rm_file(path)

    def sign(self, path: str, seconds: int) -> str | None:
        """Return a URL that lets anybody read the file for so long; None where there is no such thing."""
        try:
            return str(self.fs.sign(path, expiration=seconds))
        except NotImplementedError:
            return None

    def leftovers(self, _root: str, _before: datetime) -> list[str]:
        """Return what killed writers left before a moment, by paths from the root."""
        return []

    def _content(self, path: str) -> bytes | None:
        try:
            return self.read(path, RECORD_BYTES)
        except FileNotFoundError:
            return None


class _Reading(io.RawIOBase):
    """A file of another machine: whatever breaks while it is read is trouble of the storage."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._stream.read(len(buffer))
        except Exception as error:
            raise StorageUnavailable(f"the storage broke off while a file was read: {error}") from error
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
