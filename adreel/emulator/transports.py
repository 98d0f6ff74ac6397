"""The transports: WebSocket and REST. Both check the API key and deliver replies, whole or broken.

A WebSocket session outlives its socket. Replies that could not be delivered are kept for a while. They are sent to the
next socket that authenticates with the session's UUID.
"""

import asyncio
import json
import socket as sockets
import struct
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientConnectionError, WSMsgType, web

from adreel.emulator.handler import TaskHandler
from adreel.emulator.replies import Delivery, Item, Reply, error, join, unauthenticated

KEPT_SECONDS = 120.0
CLOSE_SECONDS = 1.0
KEPT_DELIVERIES = (Delivery.CLOSED, Delivery.TORN)
DRY_RUN = "X-Runware-Dry-Run"
NO_LINGER = struct.pack("ii", 1, 0)
MALFORMED = '{"data": [{"taskType": "videoInference", "taskUUID": <<<'
BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def reset_connection(transport: asyncio.BaseTransport | None) -> None:
    """Reset a connection: the peer reads ECONNRESET, not an end of file."""
    if not isinstance(transport, asyncio.Transport):
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, NO_LINGER)
    transport.abort()


def _first_half(text: str) -> str:
    return text[: max(1, len(text) // 2)]


def _key_error(key: object, accepted: frozenset[str] | None) -> Reply | None:
    """Return why a key is refused, or None. Without a set of keys, any key that is not empty is accepted."""
    if key and isinstance(key, str):
        if accepted is None or key in accepted:
            return None
        code, problem = "invalidApiKey", "Invalid API key provided."
    else:
        code, problem = "missingApiKey", "No API key given."
    message = f"{problem} Keys are made at https://my.runware.ai/signup"
    return error(code, message, http=401, parameter="apiKey", type="string", taskType="authentication")


class RestTransport:
    """Answers POST requests. `stopping` ends the requests that a fault leaves without an answer."""

    def __init__(
        self, handler: TaskHandler, keys: frozenset[str] | None, *, stopping: asyncio.Event, idle_seconds: float
    ) -> None:
        self._handler, self._keys = handler, keys
        self._stopping, self._idle_seconds = stopping, idle_seconds

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        reply = await self._answer(request)
        text = reply.text()
        match reply.delivery:
            case Delivery.WHOLE | Delivery.MALFORMED:
                text = MALFORMED if reply.delivery is Delivery.MALFORMED else text
                return web.Response(
                    status=reply.http_status, headers=reply.headers, text=text, content_type="application/json"
                )
            case Delivery.BAD_GATEWAY:
                return web.Response(status=502, text=BAD_GATEWAY, content_type="text/html")
            case Delivery.HALF:
                response = web.StreamResponse(status=reply.http_status, headers={"Content-Type": "application/json"})
                response.content_length = len(text.encode())
                await response.prepare(request)
                await response.write(_first_half(text).encode())
                reset_connection(request.transport)
                return response
            case Delivery.CLOSED if request.transport:
                request.transport.close()
            case Delivery.SILENT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._idle_seconds):
                        await self._stopping.wait()
        reset_connection(request.transport)
        return web.Response()

    async def _answer(self, request: web.Request) -> Reply:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if refused := _key_error(key.strip() if scheme.lower() == "bearer" else "", self._keys):
            return refused
        try:
            message = json.loads(await request.text())
        except ValueError:
            return error("invalidJSON", "The body is no JSON.")
        return self._handler.answer(message, dry_run=request.headers.get(DRY_RUN) == "1")


@dataclass
class Session:
    """The replies that could not be delivered to a client, with the time of each."""

    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    undelivered: list[tuple[float, str]] = field(default_factory=list)

    def keep(self, text: str, now: float) -> None:
        """Keep a reply that could not be delivered."""
        self.undelivered.append((now, text))

    def take(self, now: float) -> list[str]:
        """Remove and return the kept replies that are not too old."""
        kept, self.undelivered = self.undelivered, []
        return [text for at, text in kept if now - at <= KEPT_SECONDS]


class WebSocketTransport:
    """All WebSockets of the server, and their sessions."""

    def __init__(
        self, handler: TaskHandler, keys: frozenset[str] | None, *, idle_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.handler, self.keys, self.idle_seconds, self.clock = handler, keys, idle_seconds, clock
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
        """End every open socket: closed with code 1000, or reset."""
        await asyncio.gather(*(connection.end(clean=clean) for connection in list(self._open)))


class Connection:
    """One WebSocket and its session."""

    def __init__(
        self, server: WebSocketTransport, socket: web.WebSocketResponse, transport: asyncio.Transport | None
    ) -> None:
        self._server, self._socket, self._transport = server, socket, transport
        self._session: Session | None = None

    async def run(self) -> None:
        """Answer messages until the client closes, or is silent for too long."""
        while not self._socket.closed:
            try:
                message = await self._socket.receive(timeout=self._server.idle_seconds)
            except TimeoutError:
                await self.end(clean=True)
                return
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            await self._deliver(self._answer(message.data))

    async def end(self, *, clean: bool) -> None:
        """Close the socket with code 1000, or reset it."""
        if clean:
            await self._socket.close(code=1000)
        else:
            reset_connection(self._transport)

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
        return self._server.handler.answer(message) if self._session else unauthenticated()

    def _authenticate(self, task: Item) -> Reply:
        if refused := _key_error(task.get("apiKey"), self._server.keys):
            return refused
        wanted = str(task.get("connectionSessionUUID") or "")
        self._session = self._server.sessions.get(wanted) or Session()
        self._server.sessions[self._session.uuid] = self._session
        return Reply(data=({"taskType": "authentication", "connectionSessionUUID": self._session.uuid},))

    async def _deliver(self, reply: Reply) -> None:
        if reply.logged_out:
            self._session = None
        session, text = self._session, reply.text()
        if session and reply.delivery in KEPT_DELIVERIES and (reply.data or reply.errors):
            session.keep(text, self._server.clock())
        await self._send(text, reply.delivery)
        if session and reply.delivery is Delivery.WHOLE:
            for kept in session.take(self._server.clock()):
                await self._send(kept, Delivery.WHOLE)

    async def _send(self, text: str, delivery: Delivery) -> None:
        match delivery:
            case Delivery.WHOLE:
                await self._write(text)
            case Delivery.MALFORMED:
                await self._write(MALFORMED)
            case Delivery.BAD_GATEWAY:
                await self._write(error("serviceUnavailable", "502 Bad Gateway", http=502).text())
            case Delivery.HALF:
                await self._write(_first_half(text))
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
                self._session.keep(text, self._server.clock())
