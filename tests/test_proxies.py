"""Proxies of the environment with real clients: servers on loopback are always reached directly."""

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import getproxies_environment

import aiohttp
import httpx
import pytest
import yaml
from websockets.asyncio.client import connect

from adreel.emulator import LocalRunware
from adreel.errors import InputError
from adreel.settings.proxies import bypass_loopback, unify_proxies
from tests.factories import session_data
from tests.test_cli import adreel

PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SOCKS_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set and deleted, so that what a test writes is undone as well.
    for name in (*PROXY_NAMES, *(name.lower() for name in PROXY_NAMES)):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def proxy() -> Iterator[str]:
    """Run a proxy that refuses all requests, as a company's proxy refuses loopback addresses."""

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        do_CONNECT = do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


async def assert_reached(runware: LocalRunware) -> None:
    """Send a request to a server on loopback by each client that adreel and Prefect use."""
    ledger = f"http://{runware.url.removeprefix('ws://').removesuffix('/v1')}/ledger"
    async with httpx.AsyncClient() as client:
        assert (await client.get(ledger)).is_success
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(ledger) as response:
        assert response.ok
    async with connect(runware.url) as websocket:
        await websocket.ping()


@pytest.mark.parametrize("names", [["HTTP_PROXY"], ["HTTPS_PROXY"], ["ALL_PROXY"], ["http_proxy", "https_proxy"]])
async def test_loopback_is_reached_directly(
    runware: LocalRunware, proxy: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        monkeypatch.setenv(name, proxy)
    bypass_loopback()
    await assert_reached(runware)
    unify_proxies()
    await assert_reached(runware)


async def test_without_the_bypass_a_proxy_is_in_the_way(
    runware: LocalRunware, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(AssertionError):
        await assert_reached(runware)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("127.0.0.1,localhost,::1",) * 2),
        ({"NO_PROXY": "corp.example, localhost"}, ("corp.example,localhost,127.0.0.1,::1",) * 2),
        ({"no_proxy": "corp.example"}, ("corp.example,127.0.0.1,localhost,::1",) * 2),
        ({"no_proxy": "a", "NO_PROXY": "b"}, ("a,127.0.0.1,localhost,::1", "b,127.0.0.1,localhost,::1")),
        ({"no_proxy": "", "NO_PROXY": "b"}, ("127.0.0.1,localhost,::1", "b,127.0.0.1,localhost,::1")),
        ({"NO_PROXY": "*"}, ("*", "*")),
    ],
)
def test_loopback_is_added_once_to_what_is_there(
    given: dict[str, str], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        bypass_loopback()
        assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, {"https": "http://p:1"}),
        ({"HTTPS_PROXY": "p:1"}, {"https": "http://p:1"}),
        ({"ALL_PROXY": "http://p:1"}, {"http": "http://p:1", "https": "http://p:1"}),
        ({"all_proxy": "http://p:1", "HTTP_PROXY": "http://q:1"}, {"http": "http://q:1", "https": "http://p:1"}),
        (
            {"http_proxy": "http://p:1", "https_proxy": "http://p:1", "all_proxy": "socks://p:2"},
            {"http": "http://p:1", "https": "http://p:1"},
        ),
        ({}, {}),
    ],
)
def test_all_libraries_see_the_same_proxies(
    given: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        unify_proxies()
        assert getproxies_environment() == expected


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("ALL_PROXY", "socks5://user:secret@p:1"),
        ("HTTPS_PROXY", "socks5h://p:1"),
        ("all_proxy", "socks://p:1"),
        ("SOCKS_PROXY", "p:1"),
        ("HTTPS_PROXY", "https://p:1"),
    ],
)
def test_another_type_of_proxy_is_named(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(InputError, match=f"{name.upper()} is a (socks|https).* proxy") as refused:
        unify_proxies()
    assert "secret" not in str(refused.value)


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_an_ad_is_generated_behind_a_proxy_that_refuses_loopback(
    runware: LocalRunware, proxy: str, tmp_path: Path
) -> None:
    (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1)))
    ran = adreel("generate", "ad.yaml", "--scene", "hook", HTTP_PROXY=proxy, HTTPS_PROXY=proxy)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(runware.ledger.entries) == 1


@pytest.mark.parametrize(
    "words", [["generate", "ad.yaml"], ["doctor"], ["deploy"], ["worker"], ["recover"], ["serve"], ["up"]]
)
def test_a_socks_proxy_is_one_sentence_before_anything_is_bought(
    runware: LocalRunware, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1)))
    ran = adreel(*words, ALL_PROXY="socks5://127.0.0.1:1", PREFECT_API_URL="http://127.0.0.1:1/api")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "ALL_PROXY is a socks5 proxy" in ran.stderr
    assert runware.ledger.entries == []
