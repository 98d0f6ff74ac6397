"""An emulator for each test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession

from adreel.emulator import LocalRunware
from tests.local_runware.client import Connecting, Socket, Starting, running


@pytest.fixture(autouse=True)
def _small_clips() -> None:
    """Leave the emulator its own sizes."""


@pytest.fixture
async def start() -> AsyncIterator[Starting]:
    """Start servers that are stopped at the end of the test."""
    async with AsyncExitStack() as stack:
        yield lambda **settings: stack.enter_async_context(running(**settings))


@pytest.fixture
async def connect() -> AsyncIterator[Connecting]:
    """Open WebSockets that are closed at the end of the test."""
    async with ClientSession() as session:

        async def opened(server: LocalRunware) -> Socket:
            return Socket(await session.ws_connect(server.url))

        yield opened
