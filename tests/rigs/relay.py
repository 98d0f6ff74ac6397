"""A TCP relay in front of a server. While it hangs, it accepts connections and sends nothing back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Forwards bytes to a server; `hang()` holds them back, `go_on()` lets them through again."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0

    def hang(self) -> None:
        """Stop forwarding."""
        self._flows.clear()

    def go_on(self) -> None:
        """Forward the delayed bytes, and all later ones."""
        self._flows.set()

    def start(self) -> None:
        """Serve until `stop`."""
        self._run(self._accept)

    def stop(self) -> None:
        """End all connections."""
        self._flows.set()
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(30)
        for each in self._sockets:
            each.close()

    def _run(self, target: object, *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, name="relay", daemon=True))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                self._run(self._pump, near, far)
                self._run(self._pump, far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def relayed(url: str) -> Iterator[tuple[Relay, str]]:
    """Put a relay in front of a server, and return the address of the relay."""
    parts = urlsplit(url)
    relay = Relay(parts.hostname or "", parts.port or 80)
    relay.start()
    try:
        yield relay, f"{parts.scheme}://127.0.0.1:{relay.port}{parts.path}"
    finally:
        relay.stop()
