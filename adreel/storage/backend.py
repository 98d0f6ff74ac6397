"""Base class of the storage backends: whole files through fsspec.

A backend overrides the operations for which it can promise more. Paths are those of the file system, from its root.
"""

import errno
import io
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from adreel.errors import StorageUnavailable

Change = Callable[[bytes | None], bytes | None]

READ_AHEAD = 4 * 1024 * 1024
"""Maximum bytes that an open file fetches beyond what is read."""
RECORD_BYTES = 16 * 1024 * 1024
"""Maximum size of a record in bytes."""


def too_large(most: int) -> OSError:
    """Return the error for a file above its size limit."""
    return OSError(errno.EFBIG, f"it is larger than {most // 2**20} MiB")


def check_unchanged(read: int, size: int) -> None:
    """Raise OSError if another number of bytes was read than the source file had before."""
    if read != size:
        raise OSError(f"the file to publish has changed: {read} of {size} bytes were read")


class StorageBackend:
    """Files that are written by one request. Not overwriting an earlier one relies on a check before it."""

    conditional: ClassVar[bool] = False
    """Whether an update is a conditional put, which the server must support."""
    atomic: ClassVar[bool] = False
    """Whether concurrent updates of a file lose none of their changes."""
    concurrent: ClassVar[bool] = False
    """Whether several reads at once take less time than one after the other."""
    part_size: ClassVar[int] = 0
    """Bytes above which a clip is a multipart upload; 0 for never."""
    open_options: dict[str, Any] = {"block_size": READ_AHEAD, "cache_type": "readahead"}  # noqa: RUF012 - constant

    def __init__(self, fs: Any) -> None:
        self.fs = fs

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return the content, at most so many bytes; FileNotFoundError if the file is missing."""
        content = bytes(self.fs.cat_file(path))
        if most is not None and len(content) > most:
            raise too_large(most)
        return content

    def stamp(self, _path: str) -> object | None:
        """Return what differs once a file was replaced or changed, without a read of it; None if nothing tells that."""
        return None

    def write(self, path: str, content: bytes) -> None:
        """Create or replace a small file."""
        self.fs.pipe_file(path, content)

    def update(self, path: str, change: Change) -> bytes | None:
        """Replace the content by `change(content)` and return the new content; None from `change` keeps the old."""
        try:
            old = self.read(path, RECORD_BYTES)
        except FileNotFoundError:
            old = None
        new = change(old)
        if new is None:
            return old
        self.write(path, new)
        return new

    def publish(self, source: Path, path: str) -> bool:
        """Upload a local file; False if the path exists."""
        if self.fs.exists(path):
            return False
        self.fs.put_file(str(source), path)
        return True

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, with seek."""
        return cast(BinaryIO, _RemoteFile(self.fs.open(path, "rb", **self.open_options)))

    def names(self, path: str) -> list[str]:
        """Return the full names in a folder, uncached."""
        self.fs.invalidate_cache()
        return [str(name) for name in self.fs.ls(path, detail=False)]

    def name_page(self, path: str, _after: str | None) -> tuple[list[str], str | None]:
        """Return full names of a folder, and the token of the next page; None after the last one."""
        return self.names(path), None

    def files(self, path: str) -> list[str]:
        """Return the full paths of the files below a folder, uncached; none if the folder is missing."""
        # fsspec's own walk leaves out folders that can't be listed.
        self.fs.invalidate_cache()
        found, folders = list[str](), [path]
        while folders:
            with suppress(FileNotFoundError):
                for entry in self.fs.ls(folders.pop(), detail=True):
                    (folders if entry["type"] == "directory" else found).append(str(entry["name"]))
        return found

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder, where folders exist without files."""

    def exists(self, path: str) -> bool:
        """Whether a path is a file or a folder."""
        return bool(self.fs.exists(path))

    def size(self, path: str) -> int:
        """Return the size of a file in bytes; FileNotFoundError if it is missing."""
        return int(self.fs.size(path))

    def remove(self, path: str) -> None:
        """Remove a file; FileNotFoundError if it is missing."""
        self.fs.rm_file(path)

    def assume_missing(self, path: str) -> None:
        """Let the next update create the file without a read, where its condition detects that it exists."""

    def own_version(self, _path: str) -> bytes | None:
        """Return the content that this process last wrote by an update, if it is known."""
        return None

    def sign(self, path: str, seconds: int) -> str | None:
        """Return a URL by which anybody can read the file for so many seconds; None if that is not supported."""
        try:
            return str(self.fs.sign(path, expiration=seconds))
        except NotImplementedError:
            return None

    def leftovers(self, _root: str, _before: datetime) -> list[str]:
        """Return the temporary files of killed writers, last changed before a time, as paths from the root."""
        return []


class _RemoteFile(io.RawIOBase):
    """An open file whose read errors are StorageUnavailable."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = self._stream.read(len(buffer))
        except Exception as error:
            raise StorageUnavailable(f"the storage broke off while a file was read: {error}") from error
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
