"""`adreel serve`: the app behind uvicorn, with its log."""

import asyncio
import errno
import logging
import socket
import sys
from functools import partial
from typing import Any

import uvicorn

from adreel.errors import InputError
from adreel.settings import LOOPBACK, Settings
from adreel.web.app import build_app
from adreel.web.connections import LOG_SECONDS, ConnectionLimits, LimitedProtocol, raise_file_limit
from adreel.web.request_ids import RequestIdFilter

GRACE_SECONDS = 10
SLOWEST_KB_PER_SECOND = 16
"""Minimum rate of a body, after the first 30 s."""

log = logging.getLogger("adreel.api")


class Server(uvicorn.Server):
    """A uvicorn server that enforces the limits of connections, and ends event streams at shutdown."""

    def __init__(self, config: uvicorn.Config, limits: ConnectionLimits) -> None:
        super().__init__(config)
        self._limits = limits

    async def startup(self, sockets: "list[object] | None" = None) -> None:  # type: ignore[override]
        """Start, with a throttled log of failed accepts."""
        asyncio.get_running_loop().set_exception_handler(ThrottledErrorHandler())
        await super().startup(sockets)  # type: ignore[arg-type]

    async def on_tick(self, counter: int) -> bool:
        """Close expired connections."""
        self._limits.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: "list[object] | None" = None) -> None:  # type: ignore[override]
        """End the event streams, then the other requests."""
        self.config.app.state.stopping.set()  # type: ignore[union-attr]
        await super().shutdown(sockets)  # type: ignore[arg-type]


class ThrottledErrorHandler:
    """Logs errors of the event loop. Failed accepts come in thousands, so they are logged once in LOG_SECONDS."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error of the event loop."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}):
            loop.default_exception_handler(context)
        elif loop.time() - self._logged_at > LOG_SECONDS:
            self._logged_at = loop.time()
            log.error("no connection can be accepted (%s): raise the limit of open files", error.strerror)


def make_server(settings: Settings, host: str, port: int, limits: ConnectionLimits | None = None) -> Server:
    """Return a server that is not started yet; InputError if others could reach it without a key."""
    if not settings.api_keys and host not in LOOPBACK:
        raise InputError(f"--host {host} can be reached by others: set ADREEL_API_KEYS, or serve on 127.0.0.1")
    limits = limits or ConnectionLimits(body_seconds=30 + settings.max_body_kb / SLOWEST_KB_PER_SECOND)
    config = uvicorn.Config(
        build_app(settings),
        host=host,
        port=port,
        http=partial(LimitedProtocol, limits=limits),  # type: ignore[arg-type]
        ws="none",
        backlog=limits.backlog,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return Server(config, limits)


def serve(host: str, port: int) -> None:
    """Serve until a signal ends it."""
    raise_file_limit()
    server = make_server(Settings.load(), host, port)
    check_address(host, port)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # httpx would log a line for each request to Prefect.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    server.run()


def check_address(host: str, port: int) -> None:
    """Raise InputError if the address is taken or closed to this user. uvicorn would log that and name no way out."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        # A host may have an address that this machine does not serve beside one that it does.
        if isinstance(error, socket.gaierror) or error.errno in {errno.EADDRINUSE, errno.EACCES}:
            reason = f"can't serve on {host}:{port}: {error.strerror}: choose another --port or --host"
            raise InputError(reason) from None
