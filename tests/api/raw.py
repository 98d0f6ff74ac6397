"""Requests as bytes on a socket, including ones that an HTTP client refuses to send."""

import socket
import threading
import time
from collections.abc import Callable

import httpx

PATIENCE = 30.0


def connect(client: httpx.Client) -> socket.socket:
    """Open a connection to the server of a client."""
    return socket.create_connection(("127.0.0.1", client.base_url.port or 80), timeout=PATIENCE)


def request(method: str, path: str, body: bytes = b"", /, *headers: str) -> bytes:
    """Return a request as it goes over the wire; the caller sets its framing."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answers(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def ask(client: httpx.Client, sent: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    with connect(client) as connection:
        connection.sendall(sent)
        return answers(connection)


def ask_at_once(url: str, paths: list[str], headers: dict[str, str] | None = None) -> list[int]:
    """Send requests at the same time, each on a connection of its own, and return their statuses."""
    statuses: list[int] = []

    def ask(path: str) -> None:
        statuses.append(httpx.get(f"{url}{path}", timeout=60, headers=headers).status_code)

    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition that another thread fulfils."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
