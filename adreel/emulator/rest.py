"""The REST transport: one POST, one reply, and the HTTP status that goes with it."""

import asyncio
import json

from aiohttp import web

from adreel.emulator import wire
from adreel.emulator.desk import Desk
from adreel.emulator.keys import Keys
from adreel.emulator.replies import Delivery, Reply, error

DRY_RUN = "X-Runware-Dry-Run"


class Rest:
    """Answers POSTs; `stopping` ends the requests that are left without an answer on purpose."""

    def __init__(self, desk: Desk, keys: Keys, *, stopping: asyncio.Event, idle_seconds: float) -> None:
        self._desk, self._keys = desk, keys
        self._stopping, self._idle_seconds = stopping, idle_seconds

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        return await self._delivered(request, await self._answer(request))

    async def _answer(self, request: web.Request) -> Reply:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if refused := self._keys.refusal(key.strip() if scheme.lower() == "bearer" else ""):
            return refused
        try:
            message = json.loads(await request.text())
        except ValueError:
            return error("invalidJSON", "The body is no JSON.")
        return self._desk.answer(message, dry_run=request.headers.get(DRY_RUN) == "1")

    async def _delivered(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        match reply.delivery:
            case Delivery.WHOLE:
                return _json(reply, reply.text())
            case Delivery.MALFORMED:
                return _json(reply, wire.MALFORMED)
            case Delivery.BAD_GATEWAY:
                return web.Response(status=502, text=wire.BAD_GATEWAY, content_type="text/html")
            case Delivery.HALF:
                return await _half(request, reply)
            case Delivery.CLOSED if request.transport:
                request.transport.close()
            case Delivery.SILENT:
                await self._hang()
        wire.reset(request.transport)
        return web.Response()

    async def _hang(self) -> None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _json(reply: Reply, text: str) -> web.Response:
    return web.Response(status=reply.http_status, headers=reply.headers, text=text, content_type="application/json")


async def _half(request: web.Request, reply: Reply) -> web.StreamResponse:
    text = reply.text()
    response = web.StreamResponse(status=reply.http_status, headers={"Content-Type": "application/json"})
    response.content_length = len(text.encode())
    await response.prepare(request)
    await response.write(wire.half(text).encode())
    wire.reset(request.transport)
    return response
