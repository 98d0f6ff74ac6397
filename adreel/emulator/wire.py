"""Badly behaved sockets: a connection reset, as the network does it."""

import asyncio
import socket
import struct

NO_LINGER = struct.pack("ii", 1, 0)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Tear a connection: the peer reads a reset, not an end."""
    if not isinstance(transport, asyncio.Transport):
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


MALFORMED = '{"data": [{"taskType": "videoInference", "taskUUID": <<<'
BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def half(text: str) -> str:
    """Return the first half of a reply."""
    return text[: max(1, len(text) // 2)]
