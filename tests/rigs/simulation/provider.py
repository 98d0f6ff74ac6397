"""The provider of the simulation: the emulator's task handler behind a socket that only delays messages."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from runware.utils import RunwareAPIError

from adreel.emulator.clip_faults import POINTS
from adreel.emulator.facts import Facts
from adreel.emulator.faults import Faults, Point
from adreel.emulator.handler import RenderSettings, TaskHandler
from adreel.emulator.ledger import SUCCESS, Ledger
from adreel.emulator.replies import Delivery, Reply, error
from adreel.errors import AccountError, ClipUnavailable
from adreel.purchase.download import Downloaded, DownloadRules
from adreel.runware.connection import PING
from adreel.storage.media import HEAD_BYTES
from tests.rigs.simulation.clock import Clock, VirtualLoop
from tests.rigs.simulation.files import file_bytes

Message = dict[str, Any]
PING_SECONDS = 5.0
FILES = "https://vm.runware.ai/"
USD = 0.05
"""USD of a second of a clip, and of any other file."""
GATEWAY = error("serviceUnavailable", "502 Bad Gateway", http=502)


class Provider:
    """The task handler, a ledger and files. Messages are delivered even if their sender has died."""

    def __init__(self, loop: VirtualLoop, clock: Clock, dice: Random, ledger: Ledger, faults: Faults) -> None:
        self.loop, self.ledger, self.faults = loop, ledger, faults
        self.dice = dice
        self.all_struck = faults.struck
        self.down_until = 0.0
        self.sockets: set[Socket] = set()
        settings = RenderSettings(render_seconds=dice.uniform(0, 12), render_jitter=dice.choice([0, 8]), price=USD)
        self.handler = TaskHandler(
            ledger, faults, settings, clock=lambda: clock.now, clip_url=FILES.__add__, facts=_facts()
        )
        self._clock = clock

    @property
    def is_down(self) -> bool:
        """Whether the provider is unreachable."""
        return self._clock.now < self.down_until

    def latency(self) -> float:
        """Return the latency of a message."""
        return self.dice.choice([0.01, 0.05, 0.3]) * self.dice.uniform(0.5, 1.5)

    def go_down(self, seconds: float) -> None:
        """Drop all sockets and refuse connections for a while. Renders continue."""
        self.down_until = self._clock.now + seconds
        for socket in list(self.sockets):
            socket.tear()

    def heal(self) -> None:
        """Remove all faults. Renders that would never end fail."""
        self.faults = self.handler._faults = Faults()
        self.down_until = 0.0
        for entry in self.ledger.open_entries():
            if entry.due_at is None:
                self.ledger.end(entry.uuid, at=self._clock.now, outcome="providerTimeout", billed=None)

    def receive(self, socket: "Socket", message: list[Message]) -> None:
        """Answer a received message."""
        if self.is_down or not socket.is_open:
            return
        self._send(socket, self.handler.answer(message))

    def _send(self, socket: "Socket", reply: Reply) -> None:
        match reply.delivery:
            case Delivery.WHOLE:
                self.loop.call_later(self.latency(), socket.deliver, reply.text())
            case Delivery.BAD_GATEWAY:
                self.loop.call_later(self.latency(), socket.deliver, GATEWAY.text())
            case Delivery.HALF | Delivery.CLOSED | Delivery.TORN:
                self.loop.call_later(self.latency(), socket.tear)
            case Delivery.MALFORMED | Delivery.SILENT:
                pass

    async def download(self, url: str, target: Path, rules: DownloadRules) -> Downloaded:
        """Stand in for `adreel.purchase.download.download`, under the faults of the download point."""
        rules.check(url)
        await asyncio.sleep(self.latency() * 5)
        entry = self.ledger.find(url.removeprefix(FILES).partition(".")[0])
        if entry is None or entry.outcome != SUCCESS or self.is_down:
            raise ClipUnavailable(f"no file at {url}")
        if entry.oddity is None:
            oddity = self.faults.strike(POINTS[entry.output.kind], entry.targets) or ""
            digest = hashlib.sha256(file_bytes(entry.uuid, entry.output, oddity)).hexdigest()
            self.ledger.note_clip(entry.uuid, oddity=oddity, sha256=digest)
            entry = replace(entry, oddity=oddity)
        fault = self.faults.strike(Point.DOWNLOAD, entry.targets)
        body = self._body(fault, file_bytes(entry.uuid, entry.output, entry.oddity or ""))
        if fault != "html200":
            self.ledger.serve(entry.uuid, sha256=hashlib.sha256(body).hexdigest())
        target.write_bytes(body)
        return Downloaded(
            len(body),
            hashlib.sha256(body).hexdigest(),
            has_length=fault != "shortBodyNoLength",
            head=body[:HEAD_BYTES],
        )

    def _body(self, fault: str | None, whole: bytes) -> bytes:
        match fault:
            case "gone404" | "forbidden403" | "shortBody" | "emptyBody" | "slowDrip":
                raise ClipUnavailable(f"the download broke: {fault}")
            case "redirectElsewhere":
                raise AccountError("the clip is at https://elsewhere.invalid, which is not allowed")
            case "html200":
                return b"<!doctype html><title>Sign in</title>"
            case "shortBodyNoLength":
                return whole[: len(whole) // 2]
        return whole


def _facts() -> Facts:
    """Return the catalogue with one price for all voices, music and stills, so that a cap is as tight for them."""
    facts = Facts()
    price = {"prices": [{"amount": USD, "per": "output"}]}
    facts.audio, facts.images = (
        {air: {**model, **price} for air, model in models.items()} for models in (facts.audio, facts.images)
    )
    return facts


class Socket:
    """Replaces the SDK's client: the same methods, with a delay instead of a network."""

    provider_of_loop: ClassVar[Callable[[], tuple[Provider, Callable[[], bool]]]]
    """Returns the provider, and whether the process that opens the socket is alive."""

    def __init__(self, api_key: str, url: str) -> None:
        self.key, self.url = api_key, url
        self.provider, self._is_alive = type(self).provider_of_loop()
        self._loop = asyncio.get_running_loop()
        self._listeners: list[tuple[Callable[[Message], None], Callable[[Message], bool]]] = []
        self._submits: dict[str, asyncio.Future[None]] = {}
        self.is_open = False
        self._shut = False

    def addListener(self, lis: Callable[[Message], None], check: Callable[[Message], bool]) -> None:  # noqa: N802
        """Add a listener for messages."""
        self._listeners.append((lis, check))

    async def connect(self) -> None:
        """Open and authenticate."""
        await asyncio.sleep(self.provider.latency() * 2)
        if self.provider.is_down or self.provider.faults.strike(Point.CONNECT):
            raise ConnectionResetError("connection refused")
        self.is_open = True
        self.provider.sockets.add(self)
        self._beat()

    def connected(self) -> bool:
        """Whether the socket is open."""
        return self.is_open

    async def send(self, tasks: list[Message]) -> None:
        """Send one message. A closed socket drops it."""
        if self._shut:
            raise RuntimeError("Cannot send message: connection is shutting down")
        if self.is_open:
            message = json.loads(json.dumps(tasks))
            self.provider.loop.call_later(self.provider.latency(), self.provider.receive, self, message)

    async def videoInference(self, request: Any) -> None:  # noqa: N802
        """Submit and wait for any reply about the task. A broken socket returns none."""
        acknowledged = self._submits[request.taskUUID] = self._loop.create_future()
        await self.send([request.task_object])
        try:
            await acknowledged
        finally:
            self._submits.pop(request.taskUUID, None)

    async def disconnect(self) -> None:
        """Close."""
        self._shut = True
        self.tear()

    def tear(self) -> None:
        """Break the socket without a close message."""
        self.is_open = False
        self.provider.sockets.discard(self)

    def deliver(self, text: str) -> None:
        """Deliver a reply to the process of the socket, if it lives."""
        if self._is_alive():
            self._loop.call_soon(self._receive, json.loads(text))

    def _beat(self) -> None:
        """Ping every few seconds, as the SDK does. Its pongs look like those of other pings."""
        if self.is_open and self._is_alive():
            # By `send`, which a test that counts pings may have wrapped.
            self._beating = self._loop.create_task(self.send([PING]))
            self._loop.call_later(PING_SECONDS, self._beat)

    def _receive(self, message: Message) -> None:
        if not self.is_open:
            return
        for listener, check in self._listeners:
            if check(message):
                listener(message)
        for item in [*message.get("data", []), *message.get("errors", [])]:
            waiting = self._submits.get(item.get("taskUUID", ""))
            if waiting and not waiting.done():
                if "code" in item or item.get("status") == "error":
                    waiting.set_exception(RunwareAPIError(item))
                else:
                    waiting.set_result(None)
