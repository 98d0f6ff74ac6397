"""Revoked cookies, shared by all servers of a storage.

A signed cookie needs no state. Its revocation does: an empty file in the storage, kept until the cookie would have
expired. Each server lists these files periodically. A sign-out takes effect at once on its own server, and within
REFRESH_SECONDS on the others.
"""

import asyncio
import logging
import re
import time
from contextlib import suppress

from adreel.errors import StorageError
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.storage import Storage
from adreel.web.keys import Caller

FOLDER = "sign-outs"
REFRESH_SECONDS = 15.0

log = logging.getLogger("adreel.api")


class SignOuts:
    """The revoked sign-ins of a storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._ended: dict[str, int] = {}
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def has(self, caller: Caller) -> bool:
        """Whether a caller's cookie was revoked; StorageError before the first successful listing."""
        if self._read_at is None or time.monotonic() - self._read_at > REFRESH_SECONDS:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            if self._read_at is None:
                await asyncio.shield(self._reading)
        return caller.sign_in in self._ended

    async def end(self, caller: Caller) -> None:
        """Revoke a caller's cookie on all servers; StorageError if the revocation can't be stored."""
        if caller.sign_in:
            name = f"{FOLDER}/{caller.expires}-{caller.sign_in}"
            await run_in_threadpool(self._storage.write, name, b"")
            self._ended[caller.sign_in] = caller.expires

    async def _read(self) -> None:
        def list_ended() -> dict[str, int]:
            ended = {}
            for name in self._storage.names(FOLDER):
                found = re.fullmatch(r"(\d{1,11})-([0-9a-f]{32})", name)
                if found and int(found[1]) > time.time():
                    ended[found[2]] = int(found[1])
                elif found:
                    with suppress(StorageError):
                        self._storage.remove(f"{FOLDER}/{name}")
            return ended

        try:
            ended = await run_in_threadpool(list_ended)
        except StorageError as error:
            if self._read_at is None:
                raise
            log.warning("sign-outs on other servers are not known here: %s", error)
            return
        # The listing lacks a cookie that was revoked here in the meantime.
        self._ended = {name: at for name, at in {**self._ended, **ended}.items() if at > time.time()}
        self._read_at = time.monotonic()
