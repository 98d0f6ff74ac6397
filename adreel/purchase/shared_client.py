"""One Runware client for all scenes of an event loop; without a key, a client of the emulator."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from weakref import WeakKeyDictionary

from adreel.errors import StorageError
from adreel.runware.client import RunwareClient
from adreel.settings import Settings
from adreel.storage import Storage


@dataclass
class _SharedClient:
    users: int = 0
    client: RunwareClient | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _SharedClient]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(settings: Settings) -> AsyncIterator[RunwareClient]:
    """Share one client for these settings on this event loop; the last user closes it."""
    of_loop = _clients.setdefault(asyncio.get_running_loop(), {})
    shared = of_loop.setdefault((settings.key, settings.model_dump_json()), _SharedClient())
    shared.users += 1
    try:
        async with shared.changing:
            client = shared.client = shared.client or await _open(settings, shared.stack)
    except BaseException:
        shared.users -= 1
        raise
    try:
        yield client
    finally:
        shared.users -= 1
        async with shared.changing:
            if shared.users == 0 and shared.client is not None:
                shared.client = None
                await shared.stack.aclose()


async def _open(settings: Settings, stack: AsyncExitStack) -> RunwareClient:
    url = settings.provider_url
    if not url:
        # With a key neither FFmpeg nor a web server is needed. The import takes so long that it would stop the loop.
        local_runware = (await asyncio.to_thread(import_module, "adreel.emulator")).LocalRunware
        # The tasks outlive the process, because another process may resume the job. They are no part of the storage.
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        name = hashlib.sha256(Storage.from_settings(settings).location("").encode()).hexdigest()[:16]
        file = state / "adreel" / f"local-runware-{name}.jsonl"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"can't store the emulator's tasks in {file}: {error}; set XDG_STATE_HOME"
            raise StorageError(message) from error
        server = local_runware(
            render_seconds=settings.local_render_seconds, faults=settings.local_faults, ledger_file=file
        )
        await stack.enter_async_context(server)
        url = server.url
    client = RunwareClient(url, settings.key)
    stack.push_async_callback(client.close)
    return client
