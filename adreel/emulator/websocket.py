"""The WebSocket transport: sessions that authenticate, and get what could not be delivered before.

A session outlives its socket: replies that found the socket gone are kept for a while and handed to the next socket
that authenticates with the session's UUID.
"""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientConnectionError, WSMsgType, web

from adreel.emulator import wire
from adreel.emulator.desk import Desk
from adreel.emulator.keys import Keys
from adreel.emulator.replies import Delivery, Item, Reply, error, join, unauthenticated

KEPT_SECONDS = 120.0
CLOSE_SECONDS = 1.0
KEPT_DELIVERIES = (Delivery.CLOSED, Delivery.TORN)


@dataclass
class Session:
    """Replies that are kept for a client between its sockets, with the time of each."""

    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    undelivered: list[tuple[float, str]] = field(default_factory=list)

    def keep(self, text: str, now: float) -> None:
        """Keep a reply that could not be delivered."""
        self.undelivered.append((now, text))

    def take(self, now: float) -> list[str]:
        """Hand out what was kept and is not too old."""
        kept, self.undelivered = self.undelivered, []
        return [text for at, text in kept if now - at <= KEPT_SECONDS]


class Sockets:
    """All sockets of the server, and the sessions behind them."""

    def __init__(self, desk: Desk, keys: Keys, *, idle_seconds: float, clock: Callable[[], float]) -> None:
        self.desk, self.keys, self.idle_seconds, self.clock = desk, keys, idle_seconds, clock
        self.sessions: dict[str, Session] = {}
        self._open: set[Connection] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it ends."""
        socket = web.WebSocketResponse(max_msg_size=0, timeout=CLOSE_SECONDS)
        await socket.prepare(request)
        connection = Connection(self, socket, request.transport)
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
        return socket

    async def drop(self, *, clean: bool) -> None:
        """End every open socket: closed with 1000, or torn."""
        await asyncio.gather(*(connection.end(clean=clean) for connection in list(self._open)))


class Connection:
    """One socket: who it belongs to, and how replies leave by it."""

    def __init__(self, sockets: Sockets, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._sockets, self._socket, self._transport = sockets, socket, transport
        self._session: Session | None = None

    async def run(self) -> None:
        """Answer messages until the client leaves, or is silent for too long."""
        while not self._socket.closed:
            try:
                message = await self._socket.receive(timeout=self._sockets.idle_seconds)
            except TimeoutError:
                await self.end(clean=True)
                return
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            await self._deliver(self._answer(message.data))

    async def end(self, *, clean: bool) -> None:
        """End the socket."""
        if clean:
            await self._socket.close(code=1000)
        else:
            wire.reset(self._transport)

    def _answer(self, text: str | bytes) -> Reply:
        try:
            message = json.loads(text)
        except ValueError:
            return error("invalidJSON", "The message is no JSON.")
        if not isinstance(message, list) or not message or not isinstance(message[0], dict):
            return error("invalidRequest", "A request is an array of task objects.")
        if message[0].get("taskType") == "authentication":
            return join([self._authenticate(message[0]), self._handled(message[1:])])
        return self._handled(message)

    def _handled(self, message: list[Any]) -> Reply:
        if not message:
            return Reply()
        return self._sockets.desk.answer(message) if self._session else unauthenticated()

    def _authenticate(self, task: Item) -> Reply:
        if refused := self._sockets.keys.refusal(task.get("apiKey")):
            return refused
        wanted = str(task.get("connectionSessionUUID") or "")
        self._session = self._sockets.sessions.get(wanted) or Session()
        self._sockets.sessions[self._session.uuid] = self._session
        return Reply(data=({"taskType": "authentication", "connectionSessionUUID": self._session.uuid},))

    async def _deliver(self, reply: Reply) -> None:
        if reply.logged_out:
            self._session = None
        session, text = self._session, reply.text()
        if session and reply.delivery in KEPT_DELIVERIES and (reply.data or reply.errors):
            session.keep(text, self._sockets.clock())
        await self._send(text, reply.delivery)
        if session and reply.delivery is Delivery.WHOLE:
            for kept in session.take(self._sockets.clock()):
                await self._send(kept, Delivery.WHOLE)

    async def _send(self, text: str, delivery: Delivery) -> None:
        match delivery:
            case Delivery.WHOLE:
                await self._write(text)
            case Delivery.MALFORMED:
                await self._write(wire.MALFORMED)
            case Delivery.BAD_GATEWAY:
                await self._write(error("serviceUnavailable", "502 Bad Gateway", http=502).text())
            case Delivery.HALF:
                await self._write(wire.half(text))
                await self.end(clean=False)
            case Delivery.CLOSED | Delivery.TORN:
                await self.end(clean=delivery is Delivery.CLOSED)
            case Delivery.SILENT:
                pass

    async def _write(self, text: str) -> None:
        try:
            await self._socket.send_str(text)
        except (ClientConnectionError, ConnectionError):
            if self._session:
                self._session.keep(text, self._sockets.clock())
