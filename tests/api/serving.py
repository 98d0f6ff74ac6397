"""`adreel serve` in a thread of the test, on a port of its own: real HTTP over a real socket."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from adreel.settings import Settings
from adreel.web.connections import ConnectionLimits

NOWHERE = "http://127.0.0.1:9/api"
KEY, OTHER_KEY = "shop-key-0123456789", "studio-key-0123456789"
KEYS = f"shop:{KEY},studio:{OTHER_KEY}"
BEARER = {"Authorization": f"Bearer {KEY}"}


@contextmanager
def served(
    *, prefect: str = NOWHERE, host: str = "127.0.0.1", limits: ConnectionLimits | None = None, **settings: Any
) -> Iterator[httpx.Client]:
    """Serve the API for some settings, by default with no Prefect in reach, and lend a client of it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from adreel.web.server import make_server

    with temporary_settings(updates={PREFECT_API_URL: prefect}):
        server = make_server(Settings(**settings), host, 0, limits)
    thread = threading.Thread(target=server.run, name="adreel-serve")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://localhost:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"
