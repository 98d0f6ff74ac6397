"""Files in the memory of the process, for tests and first steps."""

import io
from pathlib import Path
from threading import RLock
from typing import BinaryIO

from adreel.storage.backend import Change, StorageBackend

_LOCK = RLock()


class Memory(StorageBackend):
    """fsspec's memory file system, with atomic updates."""

    atomic = True

    def update(self, path: str, change: Change) -> bytes | None:
        with _LOCK:
            return super().update(path, change)

    def publish(self, source: Path, path: str) -> bool:
        # fsspec's put_file would show the file while it grows.
        content = source.read_bytes()
        with _LOCK:
            if self.fs.exists(path):
                return False
            self.write(path, content)
            return True

    def open(self, path: str) -> BinaryIO:
        # fsspec's open returns one stream that all readers share.
        return io.BytesIO(self.read(path))
