"""Servers that answer in the place of Prefect's, each in its own wrong way."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prefect.settings import PREFECT_API_URL, temporary_settings

PAGE = b"<!doctype html><html><head><title>Sign in\x1b[31m</title></head><body>" + b"x" * 5000
JSON = "application/json"
ANSWERS: dict[str, tuple[int, str, bytes]] = {
    "a web page": (200, "text/html", PAGE),
    "other credentials": (401, JSON, b'{"exception_message": "Unauthorized"}'),
    "forbidden": (403, "text/html", PAGE),
    "no such path": (404, JSON, b'{"detail": "Not Found"}'),
    "no such page": (404, "text/html", PAGE),
    "a broken proxy": (502, "text/html", b"<html><title>502 Bad Gateway</title>"),
    "a broken server": (500, JSON, b'{"exception_message": "Internal Server Error"}'),
    "another service": (200, JSON, b'{"status": "ok"}'),
    "half a document": (200, JSON, b'{"status": '),
    "a list": (200, JSON, b"[1, 2]"),
    "null": (200, JSON, b"null"),
    "a word": (200, JSON, b'"ok"'),
    "nested JSON": (200, JSON, b"[" * 100_000),
    "no UTF-8": (200, JSON, b"\xff\xfe\x00"),
    "nothing": (200, JSON, b""),
    "a large number": (200, JSON, b"9" * 5000),
}


@contextmanager
def impostor(kind: str) -> Iterator[str]:
    """Run a server that gives one of the answers to everything, and point PREFECT_API_URL at it."""
    with answering(*ANSWERS[kind]) as url:
        yield url


@contextmanager
def answering(status: int, content_type: str, content: bytes, *, chunks: int = 1, pause: float = 0) -> Iterator[str]:
    """Run a server that gives an answer to everything, so many times in a row, and point PREFECT_API_URL at it."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content) * chunks))
            self.end_headers()
            try:
                for _ in range(chunks):
                    self.wfile.write(content)
                    time.sleep(pause)
            except OSError:  # The client has had enough.
                self.close_connection = True

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/api"
        try:
            with temporary_settings({PREFECT_API_URL: url}):
                yield url
        finally:
            server.shutdown()
