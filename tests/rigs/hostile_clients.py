"""Attacks `adreel serve` on loopback as hostile clients do, and prints the cost for the server.

`python -m tests.rigs.hostile_clients` starts a server of its own, with 1024 files, in front of a stand-in for Prefect
that can hang. `--source FOLDER` takes the code of another checkout: so the table of an older commit is made.
"""

import argparse
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import httpx

from tests.rigs.relay import Relay, relayed

FILES = 1024
KEY = "rig-key-0123456789abcdef"
BEARER = {"Authorization": f"Bearer {KEY}"}
START = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
from adreel.cli.app import main
main()
"""


@dataclass(frozen=True)
class Scale:
    """Sizes and durations of the attacks; the defaults are those of the published table."""

    connections: int = 1100
    seconds: float = 20
    half_bodies: int = 100
    half_seconds: float = 75
    methods: int = 20_000
    guess_seconds: float = 5
    open_requests: int = 80
    hangs: int = 3
    patience: float = 30


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    case: str
    what: str
    value: float | str


@dataclass(frozen=True)
class Target:
    """The server that is attacked."""

    port: int
    log: Path
    prefect: Relay

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """Open a connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def status(self, path: str, seconds: float = 15, **headers: str) -> int:
        """Return the status of a GET request, 0 without an answer."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}{path}", timeout=seconds, headers=headers).status_code
        return 0


class StandInForPrefect(BaseHTTPRequestHandler):
    """A healthy Prefect server without any run."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request of Prefect's client."""
        is_run = "flow_runs" in self.path
        body = b'{"detail": "Flow run not found"}' if is_run else b"{}"
        with suppress(OSError):
            self.send_response(404 if is_run else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


class Prefect(ThreadingHTTPServer):
    """A stand-in for Prefect that ignores clients that disconnect."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@contextmanager
def target(source: Path, folder: Path) -> Iterator[Target]:
    """Run `adreel serve` of a checkout as a process with few files."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    prefect = Prefect(("127.0.0.1", 0), StandInForPrefect)
    serving = threading.Thread(target=prefect.serve_forever)
    serving.start()
    with relayed(f"http://127.0.0.1:{prefect.server_port}/api") as (relay, prefect_url):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ADREEL_", "PREFECT_"))
        }
        environment |= {
            "PYTHONPATH": str(source),
            "PREFECT_API_URL": prefect_url,
            "PREFECT_HOME": str(folder / "prefect"),
            "ADREEL_STORAGE": str(folder / "outputs"),
            "ADREEL_API_KEYS": f"rig:{KEY}",
            "ADREEL_REQUESTS_PER_MINUTE": "1000000",
        }
        log = folder / "serve.log"
        with log.open("wb") as out:
            running = subprocess.Popen(
                [sys.executable, "-P", "-c", START, "serve", "--port", str(port)],
                env=environment,
                cwd=folder,
                stdout=out,
                stderr=out,
            )
        try:
            found = Target(port, log, relay)
            _until(lambda: found.status("/healthz") == 200, 60)
            yield found
        finally:
            running.kill()
            running.wait()
            prefect.shutdown()
            prefect.server_close()
            serving.join()


def silent_connections(there: Target, scale: Scale) -> list[Figure]:
    """Open connections and say nothing, while a client asks for /healthz."""
    before, times, failed = there.log.stat().st_size, [], 0
    end = time.monotonic() + scale.seconds
    with ExitStack() as stack:
        for _ in range(scale.connections):
            with suppress(OSError):
                stack.enter_context(there.connect())
        while time.monotonic() < end:
            began = time.monotonic()
            if there.status("/healthz", 5) == 200:
                times.append(time.monotonic() - began)
            else:
                failed += 1
            time.sleep(0.2)
        grown = there.log.stat().st_size - before
    case = f"{scale.connections} silent connections for {scale.seconds:g} s"
    _until(lambda: there.status("/healthz", 5) == 200, scale.patience)
    return [
        Figure(case, "answers of /healthz that did not come within 5 s", failed),
        Figure(case, "median of those that came, ms", round(statistics.median(times) * 1000, 1) if times else "-"),
        Figure(case, "log, KB a second", round(grown / 1024 / scale.seconds, 1)),
    ]


def half_bodies(there: Target, scale: Scale) -> list[Figure]:
    """Send half a form, and wait."""
    head = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 999\r\n\r\n"
    with ExitStack() as stack:
        connections = [stack.enter_context(there.connect()) for _ in range(scale.half_bodies)]
        for each in connections:
            each.sendall(head.encode() + b"key=")
        time.sleep(scale.half_seconds)
        held = sum(_is_open(each) for each in connections)
    case = f"{scale.half_bodies} half bodies"
    return [Figure(case, f"still held after {scale.half_seconds:g} s", held)]


def made_up_methods(there: Target, scale: Scale) -> list[Figure]:
    """Send each request with a new method."""
    with httpx.Client(base_url=there.url, timeout=30) as client:
        for number in range(scale.methods):
            client.request(f"MADEUP{number}", "/made/up")
    text = httpx.get(f"{there.url}/metrics", headers=BEARER, timeout=60).text
    series = len(re.findall(r"^adreel_http_requests_total\{", text, re.MULTILINE))
    return [Figure(f"{scale.methods} made-up methods", "series of adreel_http_requests_total", series)]


def guesses(there: Target, scale: Scale) -> list[Figure]:
    """Try keys at the sign-in, as fast as the server takes them."""
    seen: Counter[int] = Counter()
    end = time.monotonic() + scale.guess_seconds
    with httpx.Client(base_url=there.url, timeout=30, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        while time.monotonic() < end:
            seen[client.post("/sign-in", data={"key": uuid4().hex}).status_code] += 1
    named = "yes" if re.search(r"POST /sign-in .*client=127\.0\.0\.1", there.log.read_text()) else "no"
    case = f"guesses at the sign-in for {scale.guess_seconds:g} s"
    return [
        Figure(case, "sent a second", round(sum(seen.values()) / scale.guess_seconds)),
        Figure(case, "judged a second (403)", round(seen[403] / scale.guess_seconds, 1)),
        Figure(case, "the log names their address", named),
    ]


def hang_of_prefect(there: Target, scale: Scale) -> list[Figure]:
    """Let Prefect hang under open requests and recover, several times."""
    waited = 0.0
    for _ in range(scale.hangs):
        there.prefect.hang()
        unknown = [f"/api/videos/status/{uuid4()}" for _ in range(scale.open_requests)]
        paths = [*unknown, "/readyz"]
        asking = [threading.Thread(target=there.status, args=(path, 90), kwargs=BEARER) for path in paths]
        began = time.monotonic()
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        waited = max(waited, time.monotonic() - began)
        there.prefect.go_on()
    began = time.monotonic()
    back = _until(lambda: there.status(f"/api/videos/status/{uuid4()}", 15, **BEARER) == 404, scale.patience)
    case = f"Prefect hangs {scale.hangs} times under {scale.open_requests} requests"
    return [
        Figure(case, "the last was answered after, s", round(waited, 1)),
        Figure(case, "Prefect is reached again after, s", round(time.monotonic() - began, 1) if back else "never"),
    ]


CASES = (silent_connections, half_bodies, made_up_methods, guesses, hang_of_prefect)


def measure(scale: Scale, source: Path) -> list[Figure]:
    """Carry out each attack on its own server."""
    figures = []
    for case in CASES:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, target(source, Path(folder)) as there:
            figures += case(there, scale)
    return figures


def _is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).parents[2]
    parser.add_argument("--source", type=Path, default=root, help="the checkout whose `adreel serve` is attacked")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    source: Path = parser.parse_args().source
    print("| case | measured | |\n|---|---|---|")
    for figure in measure(Scale(), source.absolute()):
        print(f"| {figure.case} | {figure.what} | {figure.value} |")


if __name__ == "__main__":
    main()
