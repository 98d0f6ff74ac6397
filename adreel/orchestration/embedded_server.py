"""Start of Prefect's embedded server with credentials, and with a reason for each failure.

Prefect's own start leaves the API open to every web page in a browser on this machine, restarts a server with an
unusable database again and again, and hides its output.
"""

import atexit
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import BinaryIO

import httpx
import prefect
from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_API_AUTH_STRING, get_current_settings

from adreel.errors import PrefectMisconfigured, PrefectUnreachable

POLL_SECONDS = 0.1
MIN_STARTUP_TIMEOUT = 60.0
"""The first migration of a database takes 10 s, longer on a busy machine."""
MAX_LINES = 8
MAX_LINE_LENGTH = 300


def start_embedded_server() -> None:
    """Start the server that Prefect's clients use if PREFECT_API_URL is not set; once per process.

    PrefectUnreachable, with the end of the server's output, if it does not start.
    """
    from prefect.server.api.server import SubprocessASGIServer  # noqa: PLC0415 - takes seconds

    server = SubprocessASGIServer()
    if server.running:
        return
    # Web pages in a browser on this machine can send requests to loopback.
    credentials = PREFECT_API_AUTH_STRING.value() or f"adreel:{secrets.token_urlsafe(32)}"
    os.environ["PREFECT_API_AUTH_STRING"] = os.environ["PREFECT_SERVER_API_AUTH_STRING"] = credentials
    refresh_global_settings_context()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server.port = probe.getsockname()[1]
    app = ["--app-dir", str(prefect.__module_path__.parent), "--factory", "prefect.server.api.server:create_app"]
    address = ["--host", "127.0.0.1", "--port", str(server.port), "--log-level", "error"]
    environment = {
        **os.environ,
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        **get_current_settings().to_environment_variables(exclude_unset=True),
        # The output is not printed. Its end becomes the reason if the server does not start.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
    }
    with tempfile.TemporaryFile() as output:
        server.server_process = process = subprocess.Popen(  # noqa: S603 - Prefect's own server
            # -P keeps modules of the current folder out of the server.
            [sys.executable, "-P", "-m", "uvicorn", *app, "--lifespan", "on", *address],
            env=environment,
            stdout=output,
            stderr=output,
        )
        server.running = True
        atexit.register(server.stop)
        try:
            _wait_until_healthy(f"{server.api_url}/health", process, output)
        except BaseException:
            server.stop()
            raise


def _wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", output: BinaryIO) -> None:
    timeout = max(MIN_STARTUP_TIMEOUT, get_current_settings().server.ephemeral.startup_timeout_seconds)
    deadline = time.monotonic() + timeout
    with httpx.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise _failure(f"ended with exit code {process.returncode}", output)
            with suppress(httpx.HTTPError):
                if client.get(url).is_success:
                    return
            time.sleep(POLL_SECONDS)
    raise _failure(f"did not answer within {timeout:g} s", output)


def _failure(what: str, output: BinaryIO) -> PrefectUnreachable:
    output.seek(0)
    text = output.read().decode(errors="replace")
    lines = [line.rstrip()[:MAX_LINE_LENGTH] for line in text.splitlines() if line.strip()][-MAX_LINES:]
    reason = f"Prefect's embedded server {what}"
    end = "\n  ".join(["the end of its output:", *lines]) if lines else "it printed nothing"
    home = get_current_settings().home
    if re.search(r"Can't locate revision|No such revision", text):
        advice = f"{home} is of a newer Prefect: set PREFECT_HOME to another folder, or install that version"
        return PrefectMisconfigured(f"{reason}, {advice}; {end}")
    if re.search(r"unable to open database file|readonly database|Permission denied|Read-only file system", text):
        advice = f"{home} can't be written: set PREFECT_HOME to a folder that can"
        return PrefectMisconfigured(f"{reason}, {advice}; {end}")
    return PrefectUnreachable(f"{reason}; {end}")
