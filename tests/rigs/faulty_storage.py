"""A storage with injected faults: an fsspec file system in front of another one.

    NAME[@FIRST][xTIMES][%RATE]      `diskFull@3x2`: the disk is full at the third and the fourth write

FIRST is the number of the first event (write or read) at which the fault can strike, from 1. TIMES is a number, or `*`
for no limit. The default is 1, or no limit with a RATE (seeded). A write is atomic, as on an object store.
"""

import errno
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from random import Random
from threading import Lock
from typing import Any, ClassVar

import fsspec
from fsspec import AbstractFileSystem

from adreel.storage import Storage

ERRORS = {
    "diskFull": errno.ENOSPC,
    "permissionDenied": errno.EACCES,
    "readFailed": errno.EIO,
    "writeTimedOut": errno.ETIMEDOUT,
    "readTimedOut": errno.ETIMEDOUT,
}
WRITE_FAULTS = ("diskFull", "permissionDenied", "writeLost", "writeThenDeath", "writeTimedOut", "replyLost")
READ_FAULTS = ("readFailed", "readTimedOut")
PASSING = ("writeTimedOut", "replyLost", "readTimedOut")
"""Transient faults. With `replyLost` the write is executed."""

_FORM = re.compile(rf"({'|'.join(WRITE_FAULTS + READ_FAULTS)})(?:@([1-9]\d*))?(?:x([1-9]\d*|\*))?(?:%(0?\.\d+|[01]))?")


class Death(BaseException):
    """Simulates the death of the writing process."""


class _Fault:
    def __init__(self, text: str, seed: int) -> None:
        if (found := _FORM.fullmatch(text)) is None:
            raise ValueError(f"{text!r} is not NAME[@FIRST][xTIMES][%RATE] of {WRITE_FAULTS + READ_FAULTS}")
        self.name, first, times, rate = found.groups()
        self._events_before = int(first or 1) - 1
        self._times = math.inf if times == "*" or (rate and not times) else int(times or 1)
        self._rate, self._dice = float(rate or 1), Random(f"{seed}:{text}")

    def strikes(self) -> bool:
        self._events_before -= 1
        if self._events_before >= 0 or not self._times or self._dice.random() >= self._rate:
            return False
        self._times -= 1
        return True


class StorageFaults:
    """The injected faults. `struck`, `reads` and `writes` list faults and paths of successful operations in order."""

    def __init__(self, faults: Iterable[str] = (), *, seed: int = 0) -> None:
        self.struck: list[str] = []
        self.reads: list[str] = []
        self.writes: list[str] = []
        self._faults = [_Fault(text, seed) for text in faults]
        self._counting = Lock()

    def begin(self, fault: str) -> None:
        """Add a fault, whose events are counted from now on."""
        self._faults.append(_Fault(fault, 0))

    def clear(self) -> None:
        """Remove all faults, but keep the history."""
        self._faults = []

    def strike(self, names: tuple[str, ...], path: str) -> str:
        """Count an event and raise its fault. A fault that strikes after the event is returned by name."""
        with self._counting:
            striking = [fault.name for fault in self._faults if fault.name in names and fault.strikes()]
            self.struck += [f"{name} {path}" for name in striking[:1]]
        name = striking[0] if striking else ""
        if name in ERRORS:
            raise OSError(ERRORS[name], os.strerror(ERRORS[name]), path)
        if name == "writeLost":
            raise Death(f"{name} {path}")
        return name


class FaultyFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """faulty://MOUNT/path: the files of another file system, with the faults of the mount."""

    protocol = "faulty"
    mounts: ClassVar[dict[str, tuple[StorageFaults, AbstractFileSystem, str]]] = {}

    def cat_file(self, path: str, **options: Any) -> bytes:
        inner, full = self._read(path)
        return bytes(inner.cat_file(full, **options))

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            raise NotImplementedError("whole objects only: pipe_file or put_file")
        inner, full = self._read(path)
        return inner.open(full, mode, **options)

    def exists(self, path: str, **options: Any) -> bool:
        inner, full = self._read(path)
        return bool(inner.exists(full, **options))

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        inner, full = self._read(path)
        found = [
            {**each, "name": each["name"].replace(full, path, 1)} for each in inner.ls(full, detail=True, **options)
        ]
        return found if detail else [each["name"] for each in found]

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        with self._writing(path) as (inner, full):
            inner.pipe_file(full, value, **options)

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        with self._writing(rpath) as (inner, full):
            inner.put_file(lpath, full, **options)

    def _read(self, path: str) -> tuple[AbstractFileSystem, str]:
        faults, inner, full, relative = self._behind(path)
        faults.strike(READ_FAULTS, relative)
        faults.reads.append(relative)
        return inner, full

    @contextmanager
    def _writing(self, path: str) -> Iterator[tuple[AbstractFileSystem, str]]:
        faults, inner, full, relative = self._behind(path)
        deadly = faults.strike(WRITE_FAULTS, relative)
        yield inner, full
        faults.writes.append(relative)
        if deadly == "replyLost":
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET), path)
        if deadly:
            raise Death(f"{deadly} {relative}")

    def _behind(self, path: str) -> tuple[StorageFaults, AbstractFileSystem, str, str]:
        mount, _, relative = self._strip_protocol(path).partition("/")
        faults, inner, root = self.mounts[mount]
        return faults, inner, f"{root}/{relative}".rstrip("/"), relative


def faulty_storage(faults: StorageFaults, inner_url: str = "memory://") -> Storage:
    """Return a storage in front of the one at `inner_url`. Its own `url` opens it again with the same faults."""
    inner, root = fsspec.core.url_to_fs(inner_url)
    mount = f"mount-{len(FaultyFileSystem.mounts)}"
    FaultyFileSystem.mounts[mount] = faults, inner, root.rstrip("/")
    return Storage(f"faulty://{mount}")


fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
