"""Requests without a valid key: guesses, metrics labels and log lines stay bounded."""

import logging
import re
import socket

import httpx
import pytest

from adreel.web.keys import Caller
from adreel.web.problems import HTTPProblem
from adreel.web.wrong_keys import BURST, MAX_ADDRESSES, SECONDS_EACH, WrongKeyLimiter, client_address
from tests.api import raw
from tests.api.serving import BEARER, OTHER_KEY
from tests.api.test_security import sign_in

WRONG = {"Authorization": "Bearer wrong-key-0123456789"}
SHOP = Caller("shop")


def test_guesses_at_the_sign_in_end_and_so_do_those_with_a_bearer_key(guarded: httpx.Client) -> None:
    codes = [sign_in(guarded, f"wrong-key-{number:012}").status_code for number in range(BURST + 20)]
    assert codes[:BURST] == [403] * BURST
    assert codes.count(429) >= 15
    refused = sign_in(guarded, OTHER_KEY)
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
    assert "Set-Cookie" not in refused.headers
    assert guarded.get("/api/sessions/ad", headers=WRONG).status_code == 429


def test_a_client_with_a_stale_key_does_not_lock_its_neighbours_out(guarded: httpx.Client) -> None:
    assert guarded.get("/api/sessions/ad", headers=BEARER).status_code == 200
    codes = {guarded.get("/api/sessions/ad", headers=WRONG).status_code for _ in range(2 * BURST)}
    assert codes == {401, 429}
    assert guarded.get("/api/sessions/ad", headers=BEARER).status_code == 200
    assert guarded.get("/api/sessions/ad").status_code == 401, "without a key nothing is guessed"


def test_another_address_may_go_on_and_time_mends(guarded: httpx.Client) -> None:
    for _ in range(2 * BURST):
        guarded.get("/api/sessions/ad", headers={**WRONG, "X-Forwarded-For": "198.51.100.7"})
    there = {"X-Forwarded-For": "198.51.100.7"}
    assert guarded.get("/api/sessions/ad", headers={**BEARER, **there}).status_code == 429
    assert guarded.get("/api/sessions/ad", headers={**BEARER, "X-Forwarded-For": "198.51.100.8"}).status_code == 200

    now = [0.0]
    limits = WrongKeyLimiter(lambda: now[0])
    assert [limits.check("198.51.100.7", None) for _ in range(BURST)] == [None] * BURST
    with pytest.raises(HTTPProblem):
        limits.check("198.51.100.7", SHOP)
    now[0] += SECONDS_EACH
    assert limits.check("198.51.100.7", SHOP) == SHOP


def test_a_network_of_ipv6_is_one_address_and_memory_is_bounded() -> None:
    limits = WrongKeyLimiter(lambda: 0.0)
    for number in range(BURST):
        limits.check(f"2001:db8::{number:x}", None)
    with pytest.raises(HTTPProblem):
        limits.check("2001:db8::ffff", None)
    limits.check("2001:db8:0:1::1", None)
    for number in range(MAX_ADDRESSES + 100):
        limits.check(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", None)
    assert len(limits._left) == MAX_ADDRESSES


@pytest.mark.parametrize("client", [None, ("", 0), ("a\nb", 0), ("x" * 999, 0)])
def test_what_is_no_address_does_not_reach_the_log(client: object) -> None:
    assert client_address({"client": client}) == "-"


def test_the_log_names_the_client_s_address(guarded: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "adreel.api"):
        sign_in(guarded, "wrong-key-0123456789")
        guarded.get("/api/sessions/ad", headers={**WRONG, "X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
        for line in ("POST /sign-in 403 .*client=127.0.0.1$", "GET /api/sessions/ad 401 .*client=198.51.100.7$"):
            raw.until(lambda line=line: any(re.search(line, each) for each in caplog.messages), line)  # type: ignore[misc]


def test_made_up_methods_and_paths_add_no_metrics_and_no_long_lines(
    guarded: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    def series() -> set[str]:
        text = guarded.get("/metrics", headers=BEARER).text
        return {line.partition(" ")[0] for line in text.splitlines() if line.startswith("adreel_http_requests_total")}

    series()
    with caplog.at_level(logging.INFO, "adreel.api"), raw.connect(guarded) as connection:
        for number in range(300):
            method, path = f"MADEUP{'X' * 2000}{number}", f"/made/up/{'x' * 2000}{number}"
            connection.sendall(raw.request(method, path, b"", "Content-Length: 0"))
            assert answered(connection)
    labels = {re.search('method="([^"]*)"', line)[1] for line in series()}  # type: ignore[index]
    assert labels <= {"GET", "other"}
    assert len(series()) < 10
    assert max(len(line) for line in caplog.messages) < 500


def answered(connection: socket.socket) -> bytes:
    """Read one answer of a connection that is kept open."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
    while len(body) < length:
        body += connection.recv(65536)
    return head
