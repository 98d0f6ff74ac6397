"""Prefect's embedded server, started with credentials of its own and with a reason for each failure.

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
from typing import BinaryIO

import httpx
import prefect
from prefect.context import refresh_global_settings_context
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_HOME,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    get_current_settings,
)

from adreel.errors import PrefectMisconfigured, PrefectUnreachable

LOOK_SECONDS = 0.1
LEAST_SECONDS = 60.0
"""The first migration of a database takes 10 s, longer on a busy machine."""
LAST_LINES = 8
LONGEST_LINE = 300


def start_embedded_server() -> None:
    """Start the server that Prefect's clients use where PREFECT_API_URL is not set; once for this process.

    Raises PrefectUnreachable with the end of its output if it does not start.
    """
    from prefect.server.api.server import SubprocessASGIServer  # noqa: PLC0415 - takes seconds

    server = SubprocessASGIServer()
    if server.running:
        return
    _require_credentials()
    server.port = _free_port()
    with tempfile.TemporaryFile() as output:
        server.server_process = process = _start(server.port, output)
        server.running = True
        atexit.register(server.stop)
        try:
            _wait(f"{server.api_url}/health", process, output)
        except BaseException:
            server.stop()
            raise


def _require_credentials() -> None:
    # Web pages in a browser on this machine can send requests to loopback.
    credentials = PREFECT_API_AUTH_STRING.value() or f"adreel:{secrets.token_urlsafe(32)}"
    os.environ["PREFECT_API_AUTH_STRING"] = os.environ["PREFECT_SERVER_API_AUTH_STRING"] = credentials
    refresh_global_settings_context()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(port: int, output: BinaryIO) -> "subprocess.Popen[bytes]":
    folder = str(prefect.__module_path__.parent)
    app = ["--app-dir", folder, "--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
    address = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    environment = {
        **os.environ,
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        **get_current_settings().to_environment_variables(exclude_unset=True),
        # The output is not printed. Its end becomes the reason if the server does not start.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
    }
    return subprocess.Popen(  # noqa: S603 - Prefect's own server
        # -P keeps modules of the current folder out of the server.
        [sys.executable, "-P", "-m", "uvicorn", *app, *address],
        env=environment,
        stdout=output,
        stderr=output,
    )


def _wait(url: str, process: "subprocess.Popen[bytes]", output: BinaryIO) -> None:
    seconds = max(LEAST_SECONDS, float(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()))
    deadline = time.monotonic() + seconds
    with httpx.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise _failure(f"ended with exit code {process.returncode}", output)
            try:
                if client.get(url).is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(LOOK_SECONDS)
    raise _failure(f"did not answer within {seconds:g} s", output)


def _failure(what: str, output: BinaryIO) -> PrefectUnreachable:
    output.seek(0)
    text = output.read().decode(errors="replace")
    lines = [line.rstrip()[:LONGEST_LINE] for line in text.splitlines() if line.strip()][-LAST_LINES:]
    reason = f"Prefect's embedded server {what}"
    end = "\n  ".join(["the end of its output:", *lines]) if lines else "it has said nothing"
    home = PREFECT_HOME.value()
    if re.search(r"Can't locate revision|No such revision", text):
        advice = f"{home} is of a newer Prefect: set PREFECT_HOME to another folder, or install that version"
        return PrefectMisconfigured(f"{reason}, {advice}; {end}")
    if re.search(r"unable to open database file|readonly database|Permission denied|Read-only file system", text):
        advice = f"{home} can't be written: set PREFECT_HOME to a folder that can"
        return PrefectMisconfigured(f"{reason}, {advice}; {end}")
    return PrefectUnreachable(f"{reason}; {end}")
