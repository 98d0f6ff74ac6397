"""Base class of the object stores: conditional puts of records, without a read before them where possible."""

import asyncio
import errno
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

from fsspec.asyn import sync

from adreel.storage.backend import RECORD_BYTES, Change, StorageBackend
from adreel.storage.versions import Version, versions_of

RECORD_TIMEOUT = 30.0
"""Seconds for a request for a record or a page of a listing."""
MAX_TRIES = 100
_random = Random()  # noqa: S311 - jitter, not a secret
T = TypeVar("T")


class ObjectStore(StorageBackend):
    """A store whose puts can depend on the present version of an object."""

    conditional = True
    concurrent = True
    atomic = True
    absent_tag: ClassVar[str]
    """A tag that no object has."""

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        self._versions = versions_of(fs)

    def get_version(self, path: str, most: int) -> tuple[Version, str]:
        """Return a record of at most so many bytes, and the ID of its last write; FileNotFoundError if it is missing.

        A store that does not tell the ID with the content returns "".
        """
        raise NotImplementedError

    def put_version(self, path: str, old: Version, new: bytes, write_id: str) -> str | None:
        """Put a record in place of a version, and return its tag; None if the present version is another one."""
        raise NotImplementedError

    def write_id_of(self, _path: str, _version: Version) -> str:
        """Ask for the ID of the write that put a version, where `get_version` does not return it."""
        return ""

    def read(self, path: str, most: int | None = None) -> bytes:
        if most is None:
            return super().read(path, most)
        content = self._read_version(path, most)[0].content
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return content

    def write(self, path: str, content: bytes) -> None:
        self._versions.forget(path)
        super().write(path, content)

    def remove(self, path: str) -> None:
        self._versions.forget(path)
        super().remove(path)

    def assume_missing(self, path: str) -> None:
        self._versions.keep(path, Version(None))

    def own_version(self, path: str) -> bytes | None:
        version = self._versions.get(path)
        return version.content if version and version.is_own else None

    def update(self, path: str, change: Change) -> bytes | None:
        """Read, change and put conditionally; start again if another writer has put in the meantime.

        The read is left out if this process has seen the record. The client repeats a put whose response was lost, and
        the condition refuses the repeated put. The write ID distinguishes this from another writer's put.
        """
        write_id, new = uuid4().hex, None
        seen = self._versions.get(path)
        if seen and not self._honours_conditions(path):
            seen = None
        for pause in pauses():
            is_read = seen is None
            if seen is None:
                seen, last_write_id = self._read_version(path, RECORD_BYTES)
                if new is not None and write_id == (last_write_id or self.write_id_of(path, seen)):
                    return seen.content
            try:
                new = change(seen.content)
            except Exception:
                if is_read:
                    raise
                new = None
            if new is None and is_read:
                return seen.content
            if new is not None:
                self._versions.forget(path)
                if tag := self.put_version(path, seen, new, write_id):
                    self._versions.keep(path, Version(new, tag, is_own=True))
                    return new
            if is_read:
                time.sleep(pause)
            seen = None
        raise BlockingIOError("other writers kept changing it")

    def _read_version(self, path: str, most: int) -> tuple[Version, str]:
        """Return the present version of a record, which may be missing, and the ID of its last write."""
        self._versions.forget(path)
        try:
            version, write_id = self.get_version(path, most)
        except FileNotFoundError:
            version, write_id = Version(None), ""
        self._versions.keep(path, version)
        return version, write_id

    def _honours_conditions(self, path: str) -> bool:
        """Whether the server refuses a put whose condition fails, by one put per process.

        On a server that ignores conditions, a put without a read could replace a record of another process.
        """
        bucket, _, _ = self.fs.split_path(path)
        known = self._versions.honours_conditions
        with self._versions.probing:
            if bucket not in known:
                probe = f"{path.rpartition('/')[0]}/.probe-{uuid4().hex}"
                known[bucket] = self.put_version(probe, Version(b"", self.absent_tag), b"", "") is None
                if not known[bucket]:
                    self.remove(probe)
        return known[bucket]


def run_limited(fs: Any, call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Await a call in the loop of a file system. OSError after so many seconds.

    The HTTP client limits only the wait for a response: a server that stops reading would block an upload.
    """

    async def limited() -> T:
        try:
            async with asyncio.timeout(seconds):
                return await call()
        except TimeoutError as error:
            raise OSError(f"no answer within {seconds:g} s") from error

    answer: T = sync(fs.loop, limited)
    return answer


def pauses() -> Iterator[float]:
    """Yield the seconds to wait after each refused put."""
    return (_random.random() * min(0.01 * tries, 0.5) for tries in range(1, MAX_TRIES))
