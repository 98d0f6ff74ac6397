"""Files in the memory of one process, gone with it: for tests and for trying things out."""

import io
from pathlib import Path
from threading import RLock
from typing import BinaryIO

from adreel.storage.objects import Change, Objects

_LOCK = RLock()


class Memory(Objects):
    """As exclusive as a lock that all threads share."""

    def update(self, path: str, change: Change) -> bytes | None:
        """Read, change and write a file while no other thread does."""
        with _LOCK:
            return super().update(path, change)

    def publish(self, source: Path, path: str) -> bool:
        """Put a file in place at once: fsspec's own way shows it while it grows."""
        content = source.read_bytes()
        with _LOCK:
            if self.fs.exists(path):
                return False
            self.write(path, content)
            return True

    def open(self, path: str) -> BinaryIO:
        """Open a file: fsspec's own is one stream that all its readers share."""
        return io.BytesIO(self.read(path))
