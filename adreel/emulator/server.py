"""The server: one port with both transports, the clips and the ledger, from start to stop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType

from aiohttp import web

from adreel.emulator import wire
from adreel.emulator.clip import Clip
from adreel.emulator.desk import Desk, Terms
from adreel.emulator.downloads import Downloads
from adreel.emulator.faults import Fault, Faults, Point
from adreel.emulator.keys import Keys
from adreel.emulator.ledger import Entry, Ledger
from adreel.emulator.renderer import Renderer
from adreel.emulator.rest import Rest
from adreel.emulator.websocket import Sockets

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STOP_SECONDS = 2.0
TIMER_SLACK = 0.005  # a timer may fire a little before the clock says so
LARGEST_MESSAGE = 32 * 1024**2


class LocalRunware:
    """Serve the local Runware on the running loop for as long as the context lasts.

    `render_seconds` (plus up to `render_jitter`) is a render's length, `price` is USD per second of video, `keys` are
    the accepted API keys (None: any that is not empty), `port` 0 takes a free one. With `one_film` all tasks of a size
    and length get the same bytes, so that encoding is no part of a measurement. `ledger_file` lets the tasks
    outlive the server; `fault_seed` decides the faults that strike at a rate.
    """

    def __init__(
        self,
        *,
        render_seconds: float = 6.0,
        render_jitter: float = 0.0,
        price: float = 0.05,
        progress: bool = True,
        one_film: bool = False,
        faults: Iterable[Fault | str] = (),
        fault_seed: int = 0,
        ledger_file: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        keys: frozenset[str] | None = None,
        idle_seconds: float = 120.0,
        drip_seconds: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._terms = Terms(render_seconds, render_jitter, price, progress)
        self._faults = Faults(faults, seed=fault_seed)
        self._one_film = one_film
        self._ledger_file, self._host, self._port = ledger_file, host, port
        self._keys, self._idle_seconds, self._drip_seconds, self._clock = Keys(keys), idle_seconds, drip_seconds, clock
        self.ledger = Ledger()

    @property
    def url(self) -> str:
        """Return the address of the WebSocket transport."""
        return f"ws://{self._host}:{self._port}/v1"

    @property
    def rest_url(self) -> str:
        """Return the address of the REST transport."""
        return f"http://{self._host}:{self._port}/v1"

    @property
    def port(self) -> int:
        """Return the port that is served, once the server has started."""
        return self._port

    @property
    def struck(self) -> list[str]:
        """List the names of the faults that have struck."""
        return list(self._faults.struck)

    def inject(self, fault: Fault | str) -> None:
        """Put a fault in force from now on; any thread may."""
        self._faults.add(fault)

    def drop_connections(self, clean: bool = True) -> None:
        """End every open WebSocket, closed with 1000 or torn; any thread may."""
        asyncio.run_coroutine_threadsafe(self._sockets.drop(clean=clean), self._loop)

    async def start(self) -> None:
        """Open the port, and go on with the tasks of the ledger."""
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self.ledger = Ledger(self._ledger_file)
        self._renderer = Renderer(one_film=self._one_film)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=STOP_SECONDS)
        try:
            await self._listen()
        except OSError:
            await self.stop()
            raise
        for entry in self.ledger.open_entries():
            self._begin(entry)

    async def stop(self) -> None:
        """Close the port and everything behind it."""
        self._stopping.set()
        await self._sockets.drop(clean=True)
        await self._runner.cleanup()
        await asyncio.to_thread(self._renderer.close)
        self.ledger.close()

    async def __aenter__(self) -> "LocalRunware":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _listen(self) -> None:
        self._desk.settle()
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]

    def _application(self) -> web.Application:
        self._desk = Desk(
            self.ledger, self._faults, self._terms, clock=self._clock, clip_url=self._clip_url, on_accept=self._begin
        )
        self._sockets = Sockets(self._desk, self._keys, idle_seconds=self._idle_seconds, clock=self._clock)
        rest = Rest(self._desk, self._keys, stopping=self._stopping, idle_seconds=self._idle_seconds)
        downloads = Downloads(self.ledger, self._faults, self._renderer, drip_seconds=self._drip_seconds)
        application = web.Application(client_max_size=LARGEST_MESSAGE)
        application.router.add_get("/v1", self._connected(self._sockets.serve), allow_head=False)
        application.router.add_post("/v1", self._connected(rest.serve))
        application.router.add_get("/clips/{uuid}.mp4", downloads.serve)
        application.router.add_get("/ledger", self._report)
        return application

    def _connected(self, serve: Handler) -> Handler:
        async def connect(request: web.Request) -> web.StreamResponse:
            self.ledger.counters.connections += 1
            if self._faults.strike(Point.CONNECT):
                wire.reset(request.transport)
                return web.Response()
            return await serve(request)

        return connect

    def _begin(self, entry: Entry) -> None:
        self._renderer.begin(Clip.ordered(entry.request))
        if entry.due_at is not None:
            self._loop.call_later(max(0, entry.due_at - self._clock()) + TIMER_SLACK, self._desk.settle)

    def _clip_url(self, uuid: str) -> str:
        return f"http://{self._host}:{self._port}/clips/{uuid}.mp4"

    async def _report(self, _: web.Request) -> web.Response:
        self._desk.settle()
        return web.json_response(self.ledger.report())
