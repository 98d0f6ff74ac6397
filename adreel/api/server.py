"""`adreel serve`: the app behind uvicorn, with its log."""

import logging
import sys

import uvicorn

from adreel.api.app import build_app
from adreel.api.request_ids import WithRequestId
from adreel.errors import InputError
from adreel.settings import LOOPBACK, Settings

GRACE_SECONDS = 10


class Server(uvicorn.Server):
    """Tells the streams that it is going: uvicorn alone would wait for them."""

    async def shutdown(self, sockets: "list[object] | None" = None) -> None:  # type: ignore[override]
        """End the event streams, then what is left."""
        self.config.app.state.stopping.set()  # type: ignore[union-attr]
        await super().shutdown(sockets)  # type: ignore[arg-type]


def make_server(settings: Settings, host: str, port: int) -> Server:
    """Return a server that is not started yet; InputError if others could reach it without a key."""
    if not settings.api_keys and host not in LOOPBACK:
        raise InputError(f"--host {host} can be reached by others: set ADREEL_API_KEYS, or serve on 127.0.0.1")
    config = uvicorn.Config(
        build_app(settings),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return Server(config)


def serve(host: str, port: int) -> None:
    """Serve until a signal ends it."""
    server = make_server(Settings.load(), host, port)
    _log_to_stderr()
    server.run()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WithRequestId())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # One line for each question to Prefect would drown the rest.
    logging.getLogger("httpx").setLevel(logging.WARNING)
