"""Process that downloads and publishes clips concurrently, as a run does, and prints its memory in MB.

python -m tests.storage.streaming CLIP_URL STORAGE_URL STORAGE_OPTIONS CLIPS
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from adreel.purchase.download import DownloadRules, download
from adreel.storage import Storage

PIECE = 1_000_000
HERE = DownloadRules(hosts=frozenset(), plain_host="127.0.0.1")


@contextmanager
def clip_server(size: int) -> Iterator[str]:
    """Serve a generated clip of a size."""

    class Sender(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            for sent in range(0, size, PIECE):
                self.wfile.write(bytes(min(PIECE, size - sent)))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sender)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/clip.mp4"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def peak() -> float:
    """Return the peak memory of this process in MB."""
    # Not getrusage: its figure begins with what the process had that started this one.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1000


async def _bring_home(url: str, storage: Storage, name: str) -> int:
    with storage.workspace() as folder:
        arrived = await download(url, folder / name, HERE)
        assert await asyncio.to_thread(storage.publish, folder / name, name)
    return arrived.size


async def _bring_all(url: str, storage: Storage, clips: int) -> None:
    await asyncio.gather(*(_bring_home(url, storage, f"{number}.mp4") for number in range(clips)))


def _main(url: str, storage_url: str, options: str, clips: str) -> None:
    storage = Storage(storage_url, json.loads(options))
    # What the libraries take is not what the clips take.
    storage.publish(Path(__file__), "warm-up.py")
    before = peak()
    asyncio.run(_bring_all(url, storage, int(clips)))
    print(peak() - before)  # noqa: T201 - what it is run for


if __name__ == "__main__":
    _main(*sys.argv[1:])
