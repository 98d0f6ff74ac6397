"""A form with a truncated body is not carried out."""

import logging
import socket
import struct
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from adreel.records import Records
from tests.api.raw import answers, connect, request, until
from tests.factories import make_session
from tests.storyboard.conftest import Orders, Visitor
from tests.storyboard.stories import stored, with_job

FORM = "Content-Type: application/x-www-form-urlencoded"


def close(connection: socket.socket) -> None:
    connection.close()


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    answers(connection)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def with_length(body: bytes, sent: int) -> tuple[str, bytes]:
    return f"Content-Length: {len(body)}", body[:sent]


def in_chunks(body: bytes, sent: int) -> tuple[str, bytes]:
    return "Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (sent, body[:sent])


def in_half_a_chunk(body: bytes, sent: int) -> tuple[str, bytes]:
    return "Transfer-Encoding: chunked", b"%x\r\n%s" % (len(body), body[:sent])


@pytest.mark.parametrize("end", [close, half_close, reset])
@pytest.mark.parametrize("frame", [with_length, in_chunks, in_half_a_chunk])
@pytest.mark.parametrize("action", ["save", "regenerate"])
def test_a_form_that_is_cut_off_changes_and_buys_nothing(
    visitor: Visitor,
    orders: Orders,
    records: Records,
    caplog: pytest.LogCaptureFixture,
    *,
    frame: Callable[[bytes, int], tuple[str, bytes]],
    end: Callable[[socket.socket], None],
    action: str,
) -> None:
    with_job(records)
    for scene in make_session().scene_descriptions:
        stored(records, scene.scenario)
    before = records.session("ad")
    body = urlencode({"action": action, "token": "t" * 32, "visual_description": "A moth circles the lamp"}).encode()
    framing, sent = frame(body, len(body) - 8)
    with caplog.at_level(logging.INFO, "adreel.api"), connect(visitor.client) as connection:
        connection.sendall(request("POST", "/sessions/ad/scenes/hook", sent, FORM, framing))
        # An answer on another connection proves that the server has read the sent bytes.
        visitor.client.get("/healthz")
        end(connection)
        until(lambda: any("POST /sessions/ad" in line for line in caplog.messages), "the request was not noticed")
    assert any("POST /sessions/ad/scenes/hook 400" in line for line in caplog.messages)
    assert records.session("ad") == before
    assert orders.runs == {}


def test_a_form_of_another_type_is_refused(visitor: Visitor, records: Records) -> None:
    before = records.session("ad")
    multipart = "multipart/form-data; boundary=x"
    for path in ("/sessions/ad/scenes/hook", "/sessions/ad/options", "/sessions/ad/generate", "/new"):
        for kind in (multipart, "text/plain", "application/json"):
            answer = visitor.client.post(path, content=b"visual_description=x", headers={"Content-Type": kind})
            # Forms with files are multipart, and this is none.
            is_malformed = kind == multipart and path != "/sessions/ad/generate"
            assert answer.status_code == (422 if is_malformed else 415), (path, kind)
    assert records.session("ad") == before
