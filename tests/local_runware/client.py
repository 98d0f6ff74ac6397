"""Clients that use only the emulator's protocol, and the provider's own SDK."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from aiohttp import ClientWebSocketResponse

from adreel.emulator import LocalRunware
from adreel.emulator.clips import Clip


@contextmanager
def kept_loggers(*names: str) -> Iterator[None]:
    """Restore these loggers after the block."""
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


with kept_loggers("asyncio", "websockets"):  # importing the SDK silences both
    from runware import IVideoInference, Runware
    from runware.utils import RunwareAPIError

KEY = "a-key"
PATIENCE = 20.0

Item = dict[str, Any]


def new_uuid() -> str:
    return str(uuid.uuid4())


def submit(scenario: str = "Hook", /, **changes: Any) -> Item:
    """Build a submit of the smallest clip. None removes a field."""
    task: Item = {
        "taskType": "videoInference",
        "taskUUID": new_uuid(),
        "model": "local:card@1",
        "positivePrompt": f"{scenario} scene: a runner puts on a glowing cap",
        "duration": 1,
        "width": 128,
        "height": 72,
        "deliveryMethod": "async",
        "includeCost": True,
        "numberResults": 1,
        "outputType": "URL",
        "outputFormat": "MP4",
    }
    return {name: value for name, value in {**task, **changes}.items() if value is not None}


def poll(*tasks: Item | str) -> list[Item]:
    uuids = [task if isinstance(task, str) else task["taskUUID"] for task in tasks]
    return [{"taskType": "getResponse", "taskUUID": task_uuid} for task_uuid in uuids]


def url_of(result: Item) -> str:
    """Return the address of the file of a success."""
    [url] = [value for name, value in result.items() if name in {"videoURL", "audioURL", "imageURL"}]
    return str(url)


def ordered_clip(server: LocalRunware) -> Clip:
    """Return the clip that the only task of a server orders."""
    [entry] = server.ledger.entries
    assert isinstance(entry.output, Clip)
    return entry.output


class Clock:
    """A manual clock."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rest:
    """A REST client of one server."""

    http: httpx.AsyncClient
    server: LocalRunware

    async def post(self, body: Any, **headers: str) -> httpx.Response:
        return await self.http.post(
            self.server.rest_url, json=body, headers={"Authorization": f"Bearer {KEY}", **headers}
        )

    async def buy(self, scenario: str = "Hook", /, **changes: Any) -> Item:
        """Submit a clip and return its task once it is accepted."""
        return await self.order(submit(scenario, **changes))

    async def order(self, task: Item) -> Item:
        """Submit a task and return it once it is accepted."""
        assert (await self.post([task])).json() == {"data": [{k: task[k] for k in ("taskType", "taskUUID")}]}
        return task

    async def ended(self, task: Item) -> Item:
        """Poll until a task has ended and return the last result."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            body = (await self.post(poll(task))).json()
            items = body.get("errors") or body["data"]
            if items and items[0].get("status") != "processing":
                return dict(items[0])
            await asyncio.sleep(0.02)
        raise AssertionError("the task did not end")

    async def bought(self, scenario: str = "Hook", /, **changes: Any) -> bytes:
        """Submit a clip and return its file."""
        return await self.made(submit(scenario, **changes))

    async def made(self, task: Item) -> bytes:
        """Submit a task and return its file."""
        response = await self.http.get(url_of(await self.ended(await self.order(task))))
        assert response.status_code == 200
        return response.content


class Socket:
    """A WebSocket client of one server."""

    def __init__(self, raw: ClientWebSocketResponse) -> None:
        self.raw = raw

    async def ask(self, message: Any) -> Item:
        await self.raw.send_json(message)
        return await self.next()

    async def next(self) -> Item:
        return dict(await self.raw.receive_json(timeout=PATIENCE))

    async def authenticate(self, session: str | None = None, key: str = KEY) -> Item:
        task = {"taskType": "authentication", "apiKey": key}
        return await self.ask([{**task, "connectionSessionUUID": session} if session else task])


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Rest]:
    """Run a server with quick renders, and a client for it."""
    async with (
        LocalRunware(**{"render_seconds": 0.1, "drip_seconds": 0.001, **settings}) as server,
        httpx.AsyncClient(timeout=PATIENCE) as http,
    ):
        yield Rest(http, server)


Starting = Callable[..., Awaitable[Rest]]
Connecting = Callable[[LocalRunware], Awaitable[Socket]]

__all__ = ["IVideoInference", "Runware", "RunwareAPIError"]
