"""The environment of a peer: its emulator and its server, each as its own process, and its folders."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from adreel.deployments.database import url_file
from adreel.purchase.probe.decoding import inspect_clip
from benchmarks.peers.catalog import OURS, Peer
from benchmarks.peers.processes import Program, free_port, running

START_SECONDS = 120.0


@dataclass
class Provider:
    """A running emulator."""

    url: str
    program: Program

    def book(self) -> dict[str, Any]:
        """Return its ledger."""
        address = self.url.replace("ws://", "http://").removesuffix("/v1") + "/ledger"
        report: dict[str, Any] = httpx.get(address, timeout=30).raise_for_status().json()
        return report


@dataclass
class Surroundings:
    """A peer's provider, its server if it has one, and its folders for clips and state."""

    peer: Peer
    provider: Provider
    server: Program | None
    folder: Path
    log: Path
    settings: dict[str, str]

    def start(self) -> Program:
        """Start or restart the peer."""
        return Program(self.peer.command, self.settings, self.log)

    def clips(self) -> int:
        """Count the stored clips that play."""
        return sum(_plays(path) for path in self.folder.glob("*.mp4"))


@contextmanager
def provider(folder: Path, *, render_seconds: float, faults: tuple[str, ...] = ()) -> Iterator[Provider]:
    """Run an emulator with a new ledger."""
    options = [
        "--port",
        "0",
        "--render-seconds",
        str(render_seconds),
        "--ledger",
        str(folder / "ledger.jsonl"),
        "--one-film",
    ]
    options += [part for fault in faults for part in ("--fault", fault)]
    command = [str(OURS / "adreel"), "local-runware", *options]
    with running(command, {}, folder / "provider.log") as program:
        line = program.line(time.time() + START_SECONDS) or ""
        if not line.startswith("RUNWARE_URL="):
            raise RuntimeError(f"the emulator did not start: {program.last_words()}")
        yield Provider(line.strip().removeprefix("RUNWARE_URL="), program)


@contextmanager
def around(
    peer: Peer, folder: Path, *, scenes: int, render_seconds: float, faults: tuple[str, ...] = ()
) -> Iterator[Surroundings]:
    """Start the environment of a peer and stop it with the context."""
    clips, state, kept = (folder / name for name in ("clips", "state", "server"))
    for place in (clips, state, kept):
        place.mkdir(parents=True)
    with ExitStack() as stack:
        source = stack.enter_context(provider(folder, render_seconds=render_seconds, faults=faults))
        settings = {
            "PEERS_RUNWARE": source.url,
            "PEERS_SCENES": str(scenes),
            "PEERS_FOLDER": str(clips),
            "PEERS_STATE": str(state),
        }
        server = None
        if peer.server:
            port = free_port()
            names = {"port": port, "state": kept}
            extra = {name: value.format(**names) for name, value in peer.server.settings}
            command = [part.format(**names) for part in peer.server.command]
            command[0] = str(peer.home / command[0])
            if peer.server.postgres:
                extra["PREFECT_API_DATABASE_CONNECTION_URL"] = stack.enter_context(_postgres(kept))
            server = stack.enter_context(running(command, extra, folder / "server.log"))
            _until(lambda: _answers(peer, port), server)
            settings |= {"PEERS_SERVER": peer.server.address.format(**names), **extra}
        yield Surroundings(peer, source, server, clips, folder / "peer.log", settings)


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    command = [str(OURS / "python"), "-m", "adreel.deployments.database", str(folder)]
    with running(command, {}, folder / "postgres.log") as program:
        _until(url_file(folder).exists, program)
        yield url_file(folder).read_text()


def _until(ready: Callable[[], bool], server: Program) -> None:
    deadline = time.time() + START_SECONDS
    while not ready():
        if server.code is not None or time.time() > deadline:
            raise RuntimeError(f"the server did not start: {server.last_words()}")
        time.sleep(0.1)


def _answers(peer: Peer, port: int) -> bool:
    if not peer.server or not peer.server.health:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False
    with suppress(httpx.HTTPError):
        return httpx.get(peer.server.health.format(port=port), timeout=5).is_success
    return False


def _plays(path: Path) -> bool:
    return inspect_clip(path).measures is not None
