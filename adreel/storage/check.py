"""Does a store keep what adreel relies on? Each promise is tried on small files, which are removed again."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from adreel.errors import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from adreel.storage import Storage

NEEDED = (
    "adreel needs conditional writes (If-None-Match and If-Match on PUT), or two writers overwrite each other's"
    " records: use a store that has them (docs/storage.md)"
)


def check(storage: "Storage") -> None:
    """Raise StorageError with the first promise that a store does not keep."""
    folder = f".check-{uuid4().hex}"
    record, clip = f"{folder}/record.json", f"{folder}/clip.mp4"
    try:
        storage.write(record, b"0")
        with _refusing(storage):
            _check_update(storage, record)
            _check_update(storage, f"{folder}/new.json")
            _check_publish(storage, clip)
        if storage.read(record) != b"ours" or storage.names(folder) != ["clip.mp4", "new.json", "record.json"]:
            raise StorageError(f"{storage.url} gives back something else than was written: do not use it")
    finally:
        for path in (record, clip, f"{folder}/new.json"):
            storage.remove(path)
        with suppress(Exception):
            storage.fs.rmdir(f"{storage.root.rstrip('/')}/{folder}")
    if storage.exists(record):
        raise StorageError(f"{storage.url} keeps what was removed: do not use it")


def _check_update(storage: "Storage", path: str) -> None:
    seen = []

    def change(old: bytes | None) -> bytes:
        seen.append(old)
        if len(seen) == 1 and storage.is_conditional:
            storage.write(path, b"theirs")
        return b"ours"

    storage.update(path, change)
    if storage.is_conditional and seen[1:] != [b"theirs"]:
        raise StorageError(f"{storage.url} ignores the condition of a write; {NEEDED}")


def _check_publish(storage: "Storage", path: str) -> None:
    with tempfile.TemporaryDirectory(prefix="adreel-") as folder:
        for content in (b"first", b"second"):
            source = Path(folder, content.decode())
            source.write_bytes(content)
            storage.publish(source, path)
    if storage.read(path) != b"first":
        raise StorageError(f"{storage.url} overwrites a clip that is there; {NEEDED}")


@contextmanager
def _refusing(storage: "Storage") -> Iterator[None]:
    try:
        yield
    except StorageUnavailable:
        raise
    except StorageError as error:
        # A plain write has just gone well.
        if error.__cause__ is None or not storage.is_conditional:
            raise
        raise StorageError(f"{storage.url} refuses a conditional write ({error.__cause__}); {NEEDED}") from error
