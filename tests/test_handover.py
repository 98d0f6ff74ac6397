"""Commands beside a studio that its fork server does not run: nothing is asked of another user or another version."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from adreel.deployments.handover import describe_process, hand_over, link_server
from adreel.deployments.launcher import LENGTH_BYTES

STUDIO = Path("studio")


@pytest.fixture(autouse=True)
def _script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as the command, in a folder with short relative names for sockets."""
    monkeypatch.chdir(tmp_path)
    STUDIO.mkdir()
    for name in ("adreel", "theirs.py"):
        Path(name).touch()
    monkeypatch.setattr(sys, "argv", ["adreel", "generate", "ad.yaml"])


@contextmanager
def fork_server(answer: bytes) -> Iterator["Future[bytes]"]:
    """Answer one client, and yield all that it has sent."""

    def serve() -> bytes:
        connection, _ = listener.accept()
        with connection:
            received = connection.recv(LENGTH_BYTES)
            if received:
                connection.sendall(answer)
                while more := connection.recv(1000):
                    received += more
        return received

    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind("socket")
        listener.listen()
        listener.settimeout(10)
        link_server(STUDIO, "../socket")
        yield pool.submit(serve)


@pytest.mark.parametrize("target", [None, "../gone"], ids=["no link", "a link of a killed studio"])
def test_a_command_starts_cold_without_a_fork_server(target: str | None) -> None:
    if target:
        link_server(STUDIO, target)
    assert hand_over(STUDIO) is None


@pytest.mark.parametrize("answer", ["another version", "another user", "another umask", "none", "no JSON"])
def test_a_command_starts_cold_beside_a_fork_server_of_another_kind(answer: str) -> None:
    mine = describe_process()
    answers: dict[str, bytes] = {
        "another version": json.dumps({**mine, "code": ["0.0.1", mine["code"][1]]}).encode(),
        "another user": json.dumps({**mine, "user": [os.geteuid() + 1, *mine["user"][1:]]}).encode(),
        "another umask": json.dumps({**mine, "umask": mine["umask"] ^ 0o020}).encode(),
        "none": b"",
        "no JSON": b"HTTP/1.1 400",
    }
    with fork_server(answers[answer] + b"\n") as received:
        assert hand_over(STUDIO) is None
        assert received.result(10) == bytes(LENGTH_BYTES), "neither arguments nor environment were sent"


def test_a_fork_server_of_another_user_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with fork_server(b"") as received:
        assert hand_over(STUDIO) is None
        assert received.result(10) == b""


@pytest.mark.parametrize("words", [["adreel", "generate", "/dev/fd/63"], ["theirs.py", "generate"], ["-c", "generate"]])
def test_an_open_file_and_another_program_stay_in_this_process(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", words)
    with fork_server(b"") as received:
        assert hand_over(STUDIO) is None
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("socket")
        assert received.result(10) == b""
