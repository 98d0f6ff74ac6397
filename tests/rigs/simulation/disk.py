"""The storage of the simulation: a file system in memory that reports each write, and in which processes die."""

import io
from collections.abc import Callable
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem

from tests.rigs.faulty_storage import READ_FAULTS, WRITE_FAULTS, StorageFaults


class Disk(AbstractFileSystem):  # type: ignore[misc]
    """Files by path. Writes are atomic. `moment` is called before and after each operation and may raise."""

    protocol = "sim"
    cachable = False

    def __init__(self, moment: Callable[[], None], on_write: Callable[[str, bytes | None, bytes], None]) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.writes = 0
        self.faults = StorageFaults()
        self._moment, self._on_write = moment, on_write

    def cat_file(self, path: str, **_: Any) -> bytes:
        """Read a file."""
        self._moment()
        self.faults.strike(READ_FAULTS, path)
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        """Write a file."""
        self._moment()
        self.faults.strike(WRITE_FAULTS, path)
        before = self.files.get(path)
        self.files[path] = value
        self.writes += 1
        self._on_write(path, before, value)
        self._moment()

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        """Write a file from the local disk."""
        with open(lpath, "rb") as stream:  # noqa: PTH123 - as fsspec calls it
            self.pipe_file(rpath, stream.read())

    def exists(self, path: str, **_: Any) -> bool:
        """Whether the file exists."""
        self._moment()
        return path in self.files

    def open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        """Open a file for reading."""
        return io.BytesIO(self.cat_file(path))

    def ls(self, path: str, detail: bool = False, **_: Any) -> list[Any]:
        """List the files and folders in a folder."""
        self._moment()
        start = f"{path.rstrip('/')}/"
        found = {start + file.removeprefix(start).split("/")[0] for file in self.files if file.startswith(start)}
        if not found:
            raise FileNotFoundError(path)
        if not detail:
            return sorted(found)
        return [{"name": name, "type": "file" if name in self.files else "directory"} for name in sorted(found)]
