"""Limits of HTTP connections: their number, and the time for headers, a body and an answer.

uvicorn limits none of these. Without them, silent connections use up the process's files, and asyncio then logs an
error for each connection that it can't accept.
"""

import asyncio
import logging
import resource
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 1000
MAX_FILES = 4096
SWEEP_SECONDS = 1.0
LOG_SECONDS = 10.0

log = logging.getLogger("adreel.api")


def raise_file_limit() -> None:
    """Let this process open MAX_FILES files, as far as its hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(MAX_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def default_limit() -> int:
    """Return a limit of connections that leaves half of the files to the storage and to Prefect."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


@dataclass
class ConnectionLimits:
    """The limits of one server and its open connections, the oldest first.

    `write_seconds` bound the time in which a client reads nothing of an answer. A paused player is disconnected, and
    requests the rest by a Range when it continues.
    """

    max_connections: int = field(default_factory=default_limit)
    header_seconds: float = 10
    body_seconds: float = 60
    write_seconds: float = 120
    open: "dict[LimitedProtocol, None]" = field(default_factory=dict, repr=False)
    _dropped: int = 0
    _swept_at: float = 0
    _logged_at: float = float("-inf")

    @property
    def backlog(self) -> int:
        """Length of the accept queue: asyncio accepts as many connections in one turn of its loop."""
        return max(1, min(128, self.max_connections // 4))

    def make_room(self, new: "LimitedProtocol") -> None:
        """Make room for a new connection: close the oldest idle one, else the new one."""
        if len(self.open) <= self.max_connections:
            return
        self._dropped += 1
        idle = [each for each in self.open if each.is_idle and each is not new]
        # Connections that have carried a request before belong to well-behaved clients.
        chosen = next((each for each in idle if each.cycle is None), idle[0] if idle else None)
        (chosen or new).drop(503)

    def sweep(self, now: float) -> None:
        """Close expired connections, at most once in SWEEP_SECONDS."""
        if now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        for each in list(self.open):
            each.enforce_deadlines(now)
        if self._dropped and now - self._logged_at > LOG_SECONDS:
            log.warning("%d connections were closed: more than %d at once", self._dropped, self.max_connections)
            self._dropped, self._logged_at = 0, now


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 on one connection, within limits."""

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._limits = limits
        self._phase: tuple[object, object] = (None, None)
        self._since = self._stalled_since = float("inf")

    @property
    def is_idle(self) -> bool:
        """Whether the headers of a request are still incomplete."""
        return self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection, and make room for it."""
        super().connection_made(transport)
        self._limits.open[self] = None
        self._limits.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self._limits.open.pop(self, None)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Record when the peer stopped reading."""
        self._stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Record that the peer reads again."""
        self._stalled_since = float("inf")
        super().resume_writing()

    def enforce_deadlines(self, now: float) -> None:
        """Close the connection if its current phase takes too long; slow single bytes do not extend the deadline."""
        phase = (self.conn.their_state, self.cycle)
        if phase != self._phase:
            self._phase, self._since = phase, now
        most = {h11.IDLE: self._limits.header_seconds, h11.SEND_BODY: self._limits.body_seconds}
        if now - self._stalled_since > self._limits.write_seconds:
            self.transport.abort()
        elif now - self._since > most.get(self.conn.their_state, float("inf")):
            self.drop(408)

    def drop(self, status: int) -> None:
        """Close the connection, with an error response if a request has begun and waits for its answer."""
        self._limits.open.pop(self, None)
        if self.conn.their_state is h11.SEND_BODY:
            expects_answer = not self.cycle.response_started
        else:
            # A client would take a response on an idle connection for the answer to its next request.
            expects_answer = self.is_idle and bool(self.conn.trailing_data[0])
        if expects_answer:
            phrase = {408: "Request Timeout", 503: "Service Unavailable"}[status]
            head = f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed HTTP. In the middle of an answer, only close."""
        if self.cycle is not None and not self.cycle.response_complete:
            # The malformed request gets no answer of its own.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()

    def _unsupported_upgrade_warning(self) -> None:
        # There are no WebSocket routes: upgrade requests are answered as plain ones, without uvicorn's two warnings.
        pass
