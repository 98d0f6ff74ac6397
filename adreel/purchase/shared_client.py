"""One client for all scenes that run on an event loop, and the local Runware where there is no key."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

from adreel.errors import StorageError
from adreel.runware.client import RunwareClient
from adreel.settings import Settings
from adreel.storage import Storage


class _Lease:
    """A client and the count of those who use it; the last one closes it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changing = asyncio.Lock()
        self._users = 0
        self._client: RunwareClient | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> RunwareClient:
        self._users += 1
        try:
            async with self._changing:
                if self._client is None:
                    self._client = await self._open()
                return self._client
        except BaseException:
            self._users -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        async with self._changing:
            if self._users == 0 and self._client is not None:
                self._client = None
                await self._stack.aclose()

    async def _open(self) -> RunwareClient:
        url = self._settings.provider_url or await self._start_local()
        client = RunwareClient(url, self._settings.key)
        self._stack.push_async_callback(client.close)
        return client

    async def _start_local(self) -> str:
        from adreel.emulator import LocalRunware  # noqa: PLC0415 - a real key never needs FFmpeg and a web server

        server = LocalRunware(
            render_seconds=self._settings.local_render_seconds,
            faults=self._settings.local_faults,
            ledger_file=_ledger_file(self._settings),
        )
        await self._stack.enter_async_context(server)
        return server.url


_leases: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Lease]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(settings: Settings) -> AsyncIterator[RunwareClient]:
    """Lend this loop's client for these settings, connected at its first use."""
    of_loop = _leases.setdefault(asyncio.get_running_loop(), {})
    lease = of_loop.setdefault((settings.key, settings.model_dump_json()), _Lease(settings))
    async with lease as client:
        yield client


def _ledger_file(settings: Settings) -> Path:
    # The local Runware lives no longer than its process, its tasks have to: another process may resume the job.
    # Not in the storage: what is bought there is the user's, this is the stand-in's own memory.
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(Storage.from_settings(settings).location("").encode()).hexdigest()[:16]
    file = state / "adreel" / f"local-runware-{name}.jsonl"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't keep the local Runware's tasks in {file}: {error}; set XDG_STATE_HOME") from error
    return file
