"""Servers that answer in the place of Prefect's server, each in its own wrong way."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    """Run a server that gives one of the answers to all requests, and point PREFECT_API_URL at it."""
    with answering(*ANSWERS[kind]) as url:
        yield url


@contextmanager
def answering(status: int, content_type: str, content: bytes, *, chunks: int = 1, pause: float = 0) -> Iterator[str]:
    """Run a server that repeats an answer to all requests, and point PREFECT_API_URL at it."""

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
        # The argument is the pause after which the thread sees the shutdown.
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/api"
        try:
            with temporary_settings({PREFECT_API_URL: url}):
                yield url
        finally:
            server.shutdown()


class Door:
    """A relay to a server that can answer in its place for a while."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._answer: bytes | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._pass_on, "127.0.0.1", 0))
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self.refused = 0
        """Requests that the relay has answered itself."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/api"

    @contextmanager
    def opened(self) -> Iterator["Door"]:
        """Pass connections on until the context ends."""
        self._thread.start()
        try:
            yield self
        finally:
            self.answer_by(None)
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def answer_by(self, kind: str | None) -> None:
        """Answer in the place of the server from now on, or stop doing so."""
        self._answer = None
        if kind:
            status, content_type, content = ANSWERS[kind]
            head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}"
            self._answer = f"{head}\r\nConnection: close\r\n\r\n".encode() + content
        for writer in list(self._open):
            self._loop.call_soon_threadsafe(writer.close)

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if self._answer:
                self.refused += 1
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer)
                await writer.drain()
            else:
                upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._port)
                self._open |= {writer, upstream}
                await asyncio.gather(_copy(reader, upstream), _copy(upstream_reader, writer))
                self._open -= {writer, upstream}
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.close()
