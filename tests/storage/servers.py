"""Servers on the loopback interface for storage tests: S3 by moto, SFTP by asyncssh."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import httpx

KEY = {"key": "test", "secret": "very-secret"}
Environment = dict[str, Any]


class S3Server:
    """moto's S3 with serialized writes and If-None-Match on CompleteMultipartUpload, which moto lacks."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.requests: list[str] = []
        self.breaks: Callable[[str, Environment], bool] = lambda _request, _environment: False
        """Whether to close the connection instead of executing a request."""
        self.loses: Callable[[str, Environment], bool] = lambda _request, _environment: False
        """Whether to close the connection after executing a request, without a response."""
        self.answers: Callable[[str, Environment], tuple[str, bytes] | None] = lambda _request, _environment: None
        """Return a status and a body to respond with instead of executing a request; None executes it."""
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._writing = Lock()
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    @property
    def options(self) -> dict[str, Any]:
        """Options of the file system."""
        return {**KEY, "endpoint_url": self.url, "client_kwargs": {"region_name": "us-east-1"}}

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the server, without the bucket."""
        return {"ADREEL_STORAGE_OPTIONS": json.dumps(self.options)}

    def bucket(self) -> str:
        """Create a bucket and return its URL."""
        name = f"bucket-{uuid4().hex[:12]}"
        httpx.put(f"{self.url}/{name}").raise_for_status()
        return f"s3://{name}"

    def __enter__(self) -> "S3Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __call__(self, environment: Environment, start: Callable[..., Any]) -> Iterable[bytes]:
        request = f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}?{environment['QUERY_STRING']}"
        self.requests.append(request)
        if self.breaks(request, environment):
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            environment["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        if answer := self.answers(request, environment):
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            start(answer[0], [("Content-Type", "application/xml"), ("Content-Length", str(len(answer[1])))])
            return [] if environment["REQUEST_METHOD"] == "HEAD" else [answer[1]]
        if self.loses(request, environment):
            list(self._moto(environment, start))
            environment["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        if environment["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return list(self._moto(environment, start))
        with self._writing:
            if self._exists_already(environment):
                start("412 Precondition Failed", [("Content-Type", "application/xml")])
                return [b"<Error><Code>PreconditionFailed</Code><Condition>If-None-Match</Condition></Error>"]
            return list(self._moto(environment, start))

    def _exists_already(self, environment: Environment) -> bool:
        if environment.get("HTTP_IF_NONE_MATCH") != "*" or "uploadId" not in parse_qs(environment["QUERY_STRING"]):
            return False
        from moto.s3.models import s3_backends

        bucket, _, key = environment["PATH_INFO"].lstrip("/").partition("/")
        return s3_backends["123456789012"]["aws"].get_object(bucket, key) is not None


@contextmanager
def sftp_server(folder: Path) -> Iterator[dict[str, Any]]:
    """Serve a folder by SFTP with a password; yield the options of the file system."""
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    ports: Queue[int] = Queue()
    thread = Thread(target=loop.run_until_complete, args=[_serve_sftp(folder, ports, over)], daemon=True)
    thread.start()
    try:
        yield {"port": ports.get(timeout=30), "username": "adreel", "password": KEY["secret"]}
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


async def _serve_sftp(folder: Path, ports: Queue[int], over: asyncio.Event) -> None:
    import asyncssh

    connections = []

    class Door(asyncssh.SSHServer):
        def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
            connections.append(connection)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, _username: str, password: str) -> bool:
            return password == KEY["secret"]

    server = await asyncssh.create_server(
        Door,
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder).encode()),
    )
    async with server:
        ports.put(server.get_port())
        await over.wait()
        for connection in connections:
            connection.close()
            await connection.wait_closed()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
