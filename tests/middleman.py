"""A WebSocket proxy between the client and the emulator that changes Runware's replies."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Message = dict[str, Any]


@dataclass
class Middleman:
    """The address of the proxy, and the number of its connections."""

    url: str = ""
    connections: int = 0


@asynccontextmanager
async def middleman(url: str, change: Callable[[Message], Message | str]) -> AsyncIterator[Middleman]:
    """Serve a Runware whose every reply is passed through `change`."""
    seen = Middleman()

    async def forward(client: ServerConnection) -> None:
        seen.connections += 1

        async def up() -> None:
            try:
                async for text in client:
                    await server.send(text)
            finally:
                await server.close()

        async with connect(url, max_size=None, proxy=None) as server:
            sending = asyncio.create_task(up())
            try:
                async for text in server:
                    changed = change(json.loads(text))
                    await client.send(changed if isinstance(changed, str) else json.dumps(changed))
            except ConnectionClosed:
                pass
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async with serve(forward, "127.0.0.1", 0, max_size=None) as serving:
        seen.url = f"ws://127.0.0.1:{next(iter(serving.sockets)).getsockname()[1]}/v1"
        yield seen
