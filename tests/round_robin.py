"""One address for several servers: each connection goes to the next of them that takes it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer


@contextmanager
def round_robin(*ports: int) -> Iterator[int]:
    """Serve until the context ends, and give the port."""
    with _Proxy(ports) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy.server_address[1]
        proxy.shutdown()


class _Proxy(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, ports: tuple[int, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self._ports = ports
        self._turn = 0

    def connect(self) -> socket.socket | None:
        self._turn += 1
        for step in range(len(self._ports)):
            with suppress(OSError):
                return socket.create_connection(("127.0.0.1", self._ports[(self._turn + step) % len(self._ports)]))
        return None


class _Connection(BaseRequestHandler):
    server: _Proxy
    request: socket.socket

    def handle(self) -> None:
        if (upstream := self.server.connect()) is None:
            return
        with upstream:
            answers = threading.Thread(target=_hand_on, args=(upstream, self.request), daemon=True)
            answers.start()
            _hand_on(self.request, upstream)
            answers.join()


def _hand_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
