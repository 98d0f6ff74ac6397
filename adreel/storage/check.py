"""Check of the guarantees that adreel needs of a store, with small files that are removed again."""

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from adreel.errors import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from adreel.storage import Storage

NEEDED = (
    "adreel needs conditional writes (If-None-Match and If-Match on PUT), otherwise two writers overwrite each other's"
    " records: use a store that supports them (docs/storage.md)"
)


def check(storage: "Storage") -> None:
    """Raise StorageError for the first guarantee that the store breaks."""
    folder = f".check-{uuid4().hex}"
    record, new = f"{folder}/record.json", f"{folder}/new.json"
    # A clip above the part size is a multipart upload, whose conditions are other requests.
    clips = {f"{folder}/{size}.mp4": size for size in (16, storage.part_size + 1) if size > 1}
    try:
        storage.write(record, b"0")
        try:
            for clip, size in clips.items():
                _check_publish(storage, clip, size)
            for path in (record, new):
                _check_update(storage, path)
        except StorageUnavailable:
            raise
        except StorageError as error:
            # The plain write before has succeeded.
            if error.__cause__ is None or not storage.is_conditional:
                raise
            raise StorageError(f"{storage.url} refuses a conditional write ({error.__cause__}); {NEEDED}") from error
        if len(storage.names(folder)) != len(clips) + 2:
            raise StorageError(f"{storage.url} does not list files that were written: do not use it")
    finally:
        for path in (record, new, *clips):
            storage.remove(path)
        with suppress(Exception):
            storage.fs.rmdir(f"{storage.root.rstrip('/')}/{folder}")
    if storage.exists(record):
        raise StorageError(f"{storage.url} keeps a file that was removed: do not use it")


def _check_update(storage: "Storage", path: str) -> None:
    seen = []

    def change(old: bytes | None) -> bytes:
        seen.append(old)
        if len(seen) == 1 and storage.is_conditional:
            storage.write(path, b"theirs")
        return b"ours"

    storage.update(path, change)
    if storage.is_conditional and seen[1:] != [b"theirs"]:
        raise StorageError(f"{storage.url} loses another process's update: it ignores the condition; {NEEDED}")
    _check_content(storage, path, b"ours")


def _check_publish(storage: "Storage", path: str, size: int) -> None:
    with storage.workspace() as folder:
        sources = [folder / "first", folder / "second"]
        for source, letter in zip(sources, (b"1", b"2"), strict=True):
            source.write_bytes(letter * size)
        if not storage.publish(sources[0], path):
            raise StorageError(f"{storage.url} reports a new name as taken: do not use it")
        if storage.publish(sources[1], path):
            raise StorageError(f"{storage.url} overwrites an existing file: it ignores If-None-Match; {NEEDED}")
    _check_content(storage, path, b"1" * size)


def _check_content(storage: "Storage", path: str, content: bytes) -> None:
    if storage.read(path) != content:
        raise StorageError(f"{storage.url} returns content that differs from what was written: do not use it")
