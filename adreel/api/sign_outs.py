"""Cookies that were ended before their time, for all servers of a storage.

A cookie is signed and needs no memory. Its sign-out does: an empty file in the storage, until the cookie would have
expired by itself. Each server reads the list of these files again and again, so a sign-out elsewhere is known here
within REFRESH_SECONDS, and here at once.
"""

import asyncio
import logging
import re
import time
from contextlib import suppress

from adreel.api.keys import Caller
from adreel.api.threads import run_in_threadpool
from adreel.errors import StorageError
from adreel.storage import Storage

FOLDER = "sign-outs"
REFRESH_SECONDS = 15.0

log = logging.getLogger("adreel.api")


class SignOuts:
    """Knows which sign-ins have ended."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._ended: dict[str, int] = {}
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def has(self, caller: Caller) -> bool:
        """Whether a caller's cookie was ended; StorageError if that was never known here."""
        if self._read_at is None or time.monotonic() - self._read_at > REFRESH_SECONDS:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            if self._read_at is None:
                await asyncio.shield(self._reading)
        return caller.sign_in in self._ended

    async def end(self, caller: Caller) -> None:
        """End a caller's cookie everywhere; StorageError if the other servers can't be told."""
        if caller.sign_in:
            name = f"{FOLDER}/{caller.expires}-{caller.sign_in}"
            await run_in_threadpool(self._storage.write, name, b"")
            self._ended[caller.sign_in] = caller.expires

    async def _read(self) -> None:
        try:
            ended = await run_in_threadpool(self._stored, int(time.time()))
        except StorageError as error:
            if self._read_at is None:
                raise
            log.warning("sign-outs on other servers are not known here: %s", error)
            return
        # One that ended here while the list was read is not in it yet.
        self._ended = {name: at for name, at in {**self._ended, **ended}.items() if at > time.time()}
        self._read_at = time.monotonic()

    def _stored(self, now: int) -> dict[str, int]:
        ended = {}
        for name in self._storage.names(FOLDER):
            if not (found := re.fullmatch(r"(\d{1,11})-([0-9a-f]{32})", name)):
                continue
            expires = int(found[1])
            if expires > now:
                ended[found[2]] = expires
            else:
                with suppress(StorageError):
                    self._storage.remove(f"{FOLDER}/{name}")
        return ended
