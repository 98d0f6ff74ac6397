"""A server of Runware's documents about models, any of which a test can replace by another answer."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from adreel.emulator.documents import PAGE, Documents
from adreel.emulator.facts import Facts

INDEX = "/docs/models/index.json"
LISTING = "/models"


@dataclass(frozen=True)
class Answer:
    """An answer to send; `chunks` repeats its body, with `pause` seconds between."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    chunks: int = 1
    pause: float = 0


@dataclass
class Pages:
    """The pages, the answers that replace some of them by path, and what was requested."""

    facts: Facts
    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    requested: list[tuple[str, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: Lock = field(default_factory=Lock)

    def document(self, path: str) -> Any:
        """Return the JSON of a page; None for an unknown one."""
        documents, (*_, name, _page) = Documents(self.facts), ("", *path.split("/"))
        if path == INDEX:
            return documents.index()
        if path == LISTING:
            return documents.listing()
        return documents.schema(name) if path.endswith("/schema.json") else documents.pricing(name)

    def answer(self, path: str) -> Answer:
        """Return the answer to a request."""
        if path in self.answers:
            return self.answers[path]
        found = self.document(path)
        return Answer(PAGE.encode(), content_type="text/html") if found is None else Answer(json.dumps(found).encode())


@contextmanager
def serving_pages(facts: Facts | None = None) -> Iterator[Pages]:
    """Run the server on loopback."""
    pages = Pages(facts or Facts())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            with pages.lock:
                pages.requested.append((path, self.headers["User-Agent"]))
                pages.at_once += 1
                pages.most_at_once = max(pages.most_at_once, pages.at_once)
            answer = pages.answer(path)
            # The client may have had enough before the end.
            with suppress(OSError):
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body) * answer.chunks))
                self.end_headers()
                for _ in range(answer.chunks):
                    self.wfile.write(answer.body)
                    time.sleep(answer.pause)
            with pages.lock:
                pages.at_once -= 1

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        pages.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield pages
        finally:
            server.shutdown()
            thread.join()
