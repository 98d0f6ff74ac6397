"""The emulator's server: both transports, the rendered files and the ledger on one port."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from adreel.emulator.documents import Documents
from adreel.emulator.downloads import Downloads
from adreel.emulator.facts import Facts
from adreel.emulator.faults import Fault, Faults, Point
from adreel.emulator.handler import RenderSettings, TaskHandler
from adreel.emulator.images import InputImages
from adreel.emulator.ledger import Entry, Ledger
from adreel.emulator.rendering import Renderer
from adreel.emulator.transports import RestTransport, WebSocketTransport, reset_connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CONNECTIONS_STOP_SECONDS = 2.0
THREAD_START_SECONDS = 15.0
THREAD_STOP_SECONDS = 15.0
TIMER_SLACK = 0.005  # a timer can fire a little early
LARGEST_MESSAGE = 32 * 1024**2


class LocalRunware:
    """The emulator, served on the running event loop while the context lasts.

    A render takes `render_seconds` plus up to `render_jitter`. `price` is USD per second of video; without one, clips
    cost what the catalogue says, as voices, music and stills always do. `credits` are the USD on the account, by
    default without end. `keys` are the accepted API keys (None: any key that is not empty). Port 0 takes a free one.
    With `one_film`, all tasks of the same size and length get the same bytes, so that encoding is no part of a
    measurement. With `ledger_file`, tasks survive a restart and the images of their requests are kept in a folder
    beside it. `fault_seed` determines when faults with a rate strike. `facts` are the models that it plays, by default
    those of the catalogue; each server has its own.
    """

    def __init__(
        self,
        *,
        render_seconds: float = 6.0,
        render_jitter: float = 0.0,
        price: float | None = None,
        progress: bool = True,
        credits: float | None = None,  # noqa: A002 - Runware's word
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
        facts: Facts | None = None,
    ) -> None:
        self._settings = RenderSettings(render_seconds, render_jitter, price, progress, credits)
        self._faults = Faults(faults, seed=fault_seed)
        self._one_film = one_film
        self._ledger_file, self._host, self._port = ledger_file, host, port
        self._keys, self._idle_seconds, self._drip_seconds, self._clock = keys, idle_seconds, drip_seconds, clock
        self.facts = facts or Facts()
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
        """Return the port, which is known once the server has started."""
        return self._port

    @property
    def struck(self) -> list[str]:
        """List the faults that have struck so far."""
        return list(self._faults.struck)

    def inject(self, fault: Fault | str) -> None:
        """Add a fault. Any thread may call this."""
        self._faults.add(fault)

    def change_model(self, air: str, **facts: Any) -> None:
        """Change facts of a model, or add a video model; None removes a fact. Any thread may call this."""
        self.facts.change(air, **facts)

    def retire_model(self, air: str) -> None:
        """Withdraw a model. Any thread may call this."""
        self.facts.retire(air)

    def add_credits(self, amount: float) -> None:
        """Add USD to the account. Any thread may call this."""
        self._handler.add_credits(amount)

    def drop_connections(self, clean: bool = True) -> None:
        """End every open WebSocket: closed with code 1000, or reset. Any thread may call this."""
        asyncio.run_coroutine_threadsafe(self._sockets.drop(clean=clean), self._loop)

    async def start(self) -> None:
        """Open the port, and continue the tasks of the ledger."""
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self.ledger = Ledger(self._ledger_file)
        images = InputImages(self._ledger_file and self._ledger_file.with_suffix(".images"))
        self._renderer = Renderer(images, one_film=self._one_film)
        self._handler = TaskHandler(
            self.ledger,
            self._faults,
            self._settings,
            clock=self._clock,
            clip_url=lambda name: f"http://{self._host}:{self._port}/clips/{name}",
            upload_url=lambda uuid: f"http://{self._host}:{self._port}/uploads/{uuid}",
            on_accept=self._begin,
            facts=self.facts,
            images=images,
        )
        self._sockets = WebSocketTransport(
            self._handler, self._keys, idle_seconds=self._idle_seconds, clock=self._clock
        )
        rest = RestTransport(self._handler, self._keys, stopping=self._stopping, idle_seconds=self._idle_seconds)
        downloads = Downloads(self.ledger, self._faults, self._renderer, images, drip_seconds=self._drip_seconds)
        application = web.Application(client_max_size=LARGEST_MESSAGE)
        application.router.add_get("/v1", self._connected(self._sockets.serve), allow_head=False)
        application.router.add_post("/v1", self._connected(rest.serve))
        application.router.add_get("/clips/{name}", downloads.serve)
        application.router.add_get("/uploads/{uuid}", downloads.serve_upload)
        application.router.add_get("/ledger", self._report)
        Documents(self.facts).add_routes(application.router)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CONNECTIONS_STOP_SECONDS)
        try:
            self._handler.settle()
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
            self._port = self._runner.addresses[0][1]
        except OSError:
            await self.stop()
            raise
        for entry in self.ledger.open_entries():
            self._begin(entry)

    async def stop(self) -> None:
        """Close the port, the connections, the renderer and the ledger."""
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

    def _connected(self, serve: Handler) -> Handler:
        async def connect(request: web.Request) -> web.StreamResponse:
            self.ledger.counters.connections += 1
            if self._faults.strike(Point.CONNECT):
                reset_connection(request.transport)
                return web.Response()
            return await serve(request)

        return connect

    def _begin(self, entry: Entry) -> None:
        self._renderer.begin(entry.output)
        if entry.due_at is not None:
            self._loop.call_later(max(0, entry.due_at - self._clock()) + TIMER_SLACK, self._handler.settle)

    async def _report(self, _: web.Request) -> web.Response:
        self._handler.settle()
        return web.json_response(self.ledger.report())


@contextmanager
def in_thread(**settings: Any) -> Iterator[LocalRunware]:
    """Run an emulator with these settings on its own thread and event loop, for code that is not asynchronous."""
    server = LocalRunware(**settings)
    started: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        async with server:
            started.set_result(partial(loop.call_soon_threadsafe, stopping.set))
            await stopping.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="local-runware", daemon=True)
    thread.start()
    stop = started.result(THREAD_START_SECONDS)
    try:
        yield server
    finally:
        stop()
        thread.join(THREAD_STOP_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"the emulator did not stop within {THREAD_STOP_SECONDS} s")
