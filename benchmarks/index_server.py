"""Measures `adreel serve` with an index of many sessions, on a disk and on a store that answers after 30 ms."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from unittest.mock import patch

import httpx

from adreel.settings import Settings
from adreel.storage import Storage
from adreel.storage.local import LocalDisk
from tests.api.serving import served

DELAY = 0.03
ROUNDS = 50
PATIENCE = 600.0


class SlowDisk(LocalDisk):
    """A disk whose requests take as long as those of an object store, and are counted."""

    concurrent = True
    requests = 0
    _lock = Lock()

    def _wait(self, requests: int = 1) -> None:
        with self._lock:
            SlowDisk.requests += requests
        time.sleep(DELAY * requests)

    def read(self, path: str, most: int | None = None) -> bytes:
        """Read a file."""
        self._wait()
        return super().read(path, most)

    def write(self, path: str, content: bytes) -> None:
        """Write a file."""
        self._wait()
        super().write(path, content)

    def exists(self, path: str) -> bool:
        """Look for a file."""
        self._wait()
        return super().exists(path)

    def names(self, path: str) -> list[str]:
        """List a folder, a thousand names per request."""
        found = super().names(path)
        self._wait(1 + len(found) // 1000)
        return found

    def files(self, path: str) -> list[str]:
        """List what is below a folder."""
        self._wait()
        return super().files(path)


@contextmanager
def serving(place: str, *, is_slow: bool) -> Iterator[httpx.Client]:
    """Serve a storage on a disk, or as one on an object store, and yield a client of the server."""

    def open_slow(settings: Settings) -> Storage:
        storage = Storage(settings.storage)
        storage._files = SlowDisk(storage.fs)
        # An object store checks its marker less often than a disk.
        storage.is_local, storage.is_concurrent = False, True
        return storage

    if not is_slow:
        with served(ADREEL_STORAGE=place) as client:
            yield client
        return
    with patch.object(Storage, "from_settings", open_slow), served(ADREEL_STORAGE=place) as client:
        yield client


def measure_pages(place: str, session_id: str) -> None:
    """Print the times of pages, of which that of a session reads records."""
    paths = {
        "first page": "/",
        "search with many results": "/?q=lamp",
        "search without results": "/?q=nothing",
        "GET /api/sessions": "/api/sessions",
        "a session's page": f"/sessions/{session_id}",
        "page of campaigns": "/campaigns",
        "/metrics": "/metrics",
    }
    for is_slow in (False, True):
        print(f"pages and API, {'30 ms for each request to the storage' if is_slow else 'on a disk'}")
        with serving(place, is_slow=is_slow) as client:
            for name, path in paths.items():
                client.get(path).raise_for_status()
                times = [_timed(client, path) for _ in range(ROUNDS)]
                p50, p95 = statistics.median(times) * 1000, statistics.quantiles(times, n=20)[-1] * 1000
                print(f"{name:<26} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms")


def measure_fresh_server(place: str, count: int) -> None:
    """Print how a server without an index answers on a slow store, and when its list is complete."""
    with serving(place, is_slow=True) as client:
        SlowDisk.requests = 0
        cpu, begun = time.process_time(), time.perf_counter()
        times, total = [_timed(client, "/")], 0
        first = times[0]
        while total < count or client.get("/api/sessions").json()["notice"]:
            assert time.perf_counter() < begun + PATIENCE, "the list is not complete"  # noqa: S101
            time.sleep(0.5)
            times.append(_timed(client, "/"))
            total = client.get("/api/sessions").json()["total"]
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    print(f"a fresh server on {count:,} sessions, 30 ms for each request to the storage")
    print(f"first answer after {first:.1f} s, first page meanwhile p95 {statistics.quantiles(times, n=20)[-1]:.2f} s")
    print(f"complete after {seconds:.0f} s, {cpu:.0f} s of CPU time, {SlowDisk.requests / count:.1f} requests for each")


def _timed(client: httpx.Client, path: str) -> float:
    begun = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - begun
