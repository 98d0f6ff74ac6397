"""The local Runware on a thread and a loop of its own, for code that is not asynchronous."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from adreel.emulator.server import LocalRunware

START_SECONDS = 15.0
STOP_SECONDS = 15.0


@contextmanager
def in_thread(**settings: Any) -> Iterator[LocalRunware]:
    """Serve a LocalRunware with these settings, started, and stop it at the end."""
    server = LocalRunware(**settings)
    stop: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=_run, args=(server, stop), name="local-runware", daemon=True)
    thread.start()
    ask_to_stop = stop.result(START_SECONDS)
    try:
        yield server
    finally:
        ask_to_stop()
        thread.join(STOP_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"the local Runware did not stop within {STOP_SECONDS} s")


def _run(server: LocalRunware, stop: Future[Callable[[], object]]) -> None:
    try:
        asyncio.run(_serve(server, stop))
    except Exception as error:
        if stop.done():
            raise
        stop.set_exception(error)


async def _serve(server: LocalRunware, stop: Future[Callable[[], object]]) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    async with server:
        stop.set_result(partial(loop.call_soon_threadsafe, stopping.set))
        await stopping.wait()
