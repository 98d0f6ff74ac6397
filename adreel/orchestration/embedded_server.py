"""Start of Prefect's embedded server with credentials, and with a reason for each failure.

Prefect's own start leaves the API open to every web page in a browser on this machine, restarts a server with an
unusable database again and again, and hides its output. It also imports the server in the process that starts it.

Prefect takes a second to import, and the server three more. So the server can begin before this process imports
Prefect.
"""

import atexit
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO

import httpx

from adreel.errors import PrefectMisconfigured, PrefectUnreachable

POLL_SECONDS = 0.05
MIN_STARTUP_TIMEOUT = 60.0
"""The first migration of a database takes 10 s, longer on a busy machine."""
STOP_SECONDS = 5.0
MAX_LINES = 8
MAX_LINE_LENGTH = 300
API_URL, API_AUTH, SERVER_AUTH = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
RUN_UVICORN = (
    "import gc; gc.disable(); import prefect.server.api.server; gc.freeze(); gc.enable();"
    " from uvicorn import main; main()"
)
"""Otherwise a fifth of the server's start would be spent on looking for garbage among what it imports."""


class EmbeddedServer:
    """A server that ends with this process; `api_url` is its address."""

    def __init__(self, settings: dict[str, str], auth: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.api_url, self.auth = f"http://127.0.0.1:{port}/api", auth
        self.output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        spec = find_spec("prefect")
        assert spec is not None  # noqa: S101 - a dependency
        assert spec.origin is not None  # noqa: S101
        folder = str(Path(spec.origin).parents[1])
        app = ["--app-dir", folder, "--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
        address = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
        environment = {
            **os.environ,
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
            **settings,
            API_AUTH: auth,
            SERVER_AUTH: auth,
            # The output is not printed. Its end becomes the reason if the server does not start.
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
        }
        # A terminal sends Ctrl-C to every process of the group. Without the server, a run would wait for a minute.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process = subprocess.Popen(  # noqa: S603 - Prefect's own server
                # -P keeps modules of the current folder out of the server.
                [sys.executable, "-P", "-c", RUN_UVICORN, *app, *address],
                env=environment,
                stdout=self.output,
                stderr=self.output,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.pid = os.getpid()
        atexit.register(self.stop)

    @property
    def is_running(self) -> bool:
        """Whether its process runs, and is that of this process, not of the parent of a fork."""
        return self.pid == os.getpid() and self.process.poll() is None

    def wait_until_healthy(self, timeout: float) -> None:
        """Wait for its first answer; PrefectUnreachable, with the end of its output, if it does not start."""
        deadline = time.monotonic() + timeout
        with httpx.Client(trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise _failure(f"ended with exit code {self.process.returncode}", self.output)
                with suppress(httpx.HTTPError):
                    if client.get(f"{self.api_url}/health").is_success:
                        return
                time.sleep(POLL_SECONDS)
        raise _failure(f"did not answer within {timeout:g} s", self.output)

    def stop(self) -> None:
        """End the server."""
        atexit.unregister(self.stop)
        if self.pid != os.getpid():
            return
        if os.environ.get(API_URL) == self.api_url:
            del os.environ[API_URL]
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()


_server: EmbeddedServer | None = None


def begin_embedded_server() -> bool:
    """Begin to start the server, unless Prefect is imported already: then its settings decide.

    Return whether it was begun. `start_embedded_server` waits for it.
    """
    global _server  # noqa: PLW0603 - one for each process
    if _server is not None or "prefect" in sys.modules:
        return False
    _server = EmbeddedServer({}, os.environ.get(API_AUTH) or _new_auth())
    return True


def start_embedded_server() -> None:
    """Start the server and have Prefect's clients use it; once per process.

    PrefectUnreachable, with the end of the server's output, if it does not start.
    """
    from prefect.context import refresh_global_settings_context  # noqa: PLC0415 - takes a second
    from prefect.settings import PREFECT_API_AUTH_STRING, get_current_settings  # noqa: PLC0415

    global _server  # noqa: PLW0603
    if is_embedded() and _server is not None:
        if _server.is_running:
            return
        _server.stop()
        _server = None
    if _server is None:
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        settings.pop(API_URL, None)
        _server = EmbeddedServer(settings, PREFECT_API_AUTH_STRING.value() or _new_auth())
    timeout = max(MIN_STARTUP_TIMEOUT, get_current_settings().server.ephemeral.startup_timeout_seconds)
    try:
        _server.wait_until_healthy(timeout)
    except BaseException:
        _server.stop()
        _server = None
        raise
    os.environ |= {API_URL: _server.api_url, API_AUTH: _server.auth, SERVER_AUTH: _server.auth}
    refresh_global_settings_context()


@contextmanager
def ending_on_sigterm(*, at_once: bool = False) -> Iterator[None]:
    """Have SIGTERM end this process and its embedded server. By default the server would stay.

    With `at_once` no exception is raised, which an import could not survive.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        if not at_once:
            sys.exit(128 + number)
        if _server is not None:
            _server.process.terminate()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if threading.current_thread() is not threading.main_thread():
        # Only the main thread can set handlers. A program that calls from another thread has its own.
        yield
        return
    earlier = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def is_embedded() -> bool:
    """Whether the server at PREFECT_API_URL is the embedded one of this process."""
    return _server is not None and os.environ.get(API_URL) == _server.api_url


def _new_auth() -> str:
    # Web pages in a browser on this machine can send requests to loopback.
    return f"adreel:{secrets.token_urlsafe(32)}"


def _failure(what: str, output: IO[bytes]) -> PrefectUnreachable:
    output.seek(0)
    text = output.read().decode(errors="replace")
    lines = [line.rstrip()[:MAX_LINE_LENGTH] for line in text.splitlines() if line.strip()][-MAX_LINES:]
    reason = f"Prefect's embedded server {what}"
    end = "\n  ".join(["the end of its output:", *lines]) if lines else "it printed nothing"
    from prefect.settings import get_current_settings  # noqa: PLC0415

    home = get_current_settings().home
    if re.search(r"Can't locate revision|No such revision", text):
        advice = f"{home} is of a newer Prefect: set PREFECT_HOME to another folder, or install that version"
        return PrefectMisconfigured(f"{reason}, {advice}; {end}")
    if re.search(r"unable to open database file|readonly database|Permission denied|Read-only file system", text):
        advice = f"{home} can't be written: set PREFECT_HOME to a folder that can"
        return PrefectMisconfigured(f"{reason}, {advice}; {end}")
    return PrefectUnreachable(f"{reason}; {end}")
