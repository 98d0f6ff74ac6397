"""Downloads from a real server on the loopback."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth, web

from adreel.errors import AccountError, ClipUnavailable, StorageError
from adreel.purchase.download import MAX_REDIRECTS, Downloaded, DownloadRules, download
from adreel.settings import Settings
from adreel.storage.media import TEXT, file_type

CLIP = bytes(range(256)) * 4096
WHOLE = Downloaded(len(CLIP), hashlib.sha256(CLIP).hexdigest())
HTML = b"<!doctype html><html><body>This link has expired</body></html>"
HERE = DownloadRules(hosts=frozenset({"runware.ai"}), plain_host="127.0.0.1")


async def answer(request: web.Request) -> web.StreamResponse:
    kind, _, detail = request.match_info["name"].partition("-")
    return await ANSWERS[kind](request, detail)


async def whole(_request: web.Request, coding: str) -> web.StreamResponse:
    response = web.Response(body=CLIP)
    if coding:
        response.enable_compression(web.ContentCoding(coding))
    return response


async def empty(_request: web.Request, _detail: str) -> web.StreamResponse:
    return web.Response()


async def html(_request: web.Request, _detail: str) -> web.StreamResponse:
    return web.Response(body=HTML, content_type="text/html")


async def status(_request: web.Request, code: str) -> web.StreamResponse:
    return web.Response(status=int(code), body=CLIP)


async def hop(_request: web.Request, left: str) -> web.StreamResponse:
    raise web.HTTPFound(f"/hop-{int(left) - 1}" if int(left) else "/whole")


async def away(request: web.Request, _detail: str) -> web.StreamResponse:
    raise web.HTTPFound(request.query["to"])


async def torn(request: web.Request, how: str) -> web.StreamResponse:
    """Send half of the clip and break the connection."""
    response = web.StreamResponse()
    if how == "length":
        response.content_length = len(CLIP)
    else:
        response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(CLIP[: len(CLIP) // 2])
    assert request.transport
    request.transport.close()
    return response


async def stuck(request: web.Request, _detail: str) -> web.StreamResponse:
    """Send the beginning of the clip and nothing more."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(CLIP[:1000])
    await asyncio.Event().wait()
    return response


async def authorization(request: web.Request, _detail: str) -> web.StreamResponse:
    """Answer with the credentials of the request."""
    return web.json_response(request.headers.get("Authorization"))


ANSWERS = {kind.__name__: kind for kind in (whole, empty, html, status, hop, away, torn, stuck, authorization)}


@pytest.fixture
async def server() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("name", ["whole", "whole-gzip", "hop-0", f"hop-{MAX_REDIRECTS - 1}"])
async def test_a_clip_arrives_whole(server: str, tmp_path: Path, name: str) -> None:
    assert await download(f"{server}/{name}", tmp_path / "clip.mp4", HERE) == WHOLE
    assert (tmp_path / "clip.mp4").read_bytes() == CLIP


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("status-404", "answers HTTP 404"),
        ("status-403", "answers HTTP 403"),
        ("status-500", "answers HTTP 500"),
        ("status-206", "answers HTTP 206"),
        ("status-302", "answers HTTP 302"),
        ("empty", "sent no bytes"),
        ("torn-length", "failed"),
        ("torn-chunks", "failed"),
        (f"hop-{MAX_REDIRECTS}", "redirects more than 3 times"),
    ],
)
async def test_what_is_not_the_whole_clip_is_unavailable(server: str, tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(ClipUnavailable, match=why):
        await download(f"{server}/{name}", tmp_path / "clip.mp4", HERE)


@pytest.mark.parametrize("limits", [{"seconds": 0.2}, {"stall": 0.2}], ids=["in all", "between two pieces"])
async def test_a_download_that_hangs_ends(server: str, tmp_path: Path, limits: dict[str, float]) -> None:
    rules = DownloadRules(hosts=HERE.hosts, plain_host=HERE.plain_host, **limits)  # type: ignore[arg-type]
    with pytest.raises(ClipUnavailable):
        await download(f"{server}/stuck", tmp_path / "clip.mp4", rules)


async def test_a_server_that_is_gone_makes_the_clip_unavailable(unused_tcp_port: int, tmp_path: Path) -> None:
    with pytest.raises(ClipUnavailable, match=r"the download from 127\.0\.0\.1 failed"):
        await download(f"http://127.0.0.1:{unused_tcp_port}/whole", tmp_path / "clip.mp4", HERE)


async def test_html_that_says_well_done_is_known_by_its_bytes(server: str, tmp_path: Path) -> None:
    await download(f"{server}/html", tmp_path / "clip.mp4", HERE)
    assert file_type((tmp_path / "clip.mp4").read_bytes()) == TEXT


@pytest.mark.parametrize("name", ["whole", "whole-gzip", "torn-chunks"])
async def test_a_clip_that_is_too_large_is_left(server: str, tmp_path: Path, name: str) -> None:
    rules = DownloadRules(hosts=HERE.hosts, plain_host=HERE.plain_host, max_bytes=1000)
    with pytest.raises(AccountError, match="ADREEL_MAX_CLIP_MB"):
        await download(f"{server}/{name}", tmp_path / "clip.mp4", rules)


async def test_a_clip_as_large_as_allowed_is_taken(server: str, tmp_path: Path) -> None:
    rules = DownloadRules(hosts=HERE.hosts, plain_host=HERE.plain_host, max_bytes=len(CLIP))
    assert await download(f"{server}/whole", tmp_path / "clip.mp4", rules) == WHOLE


@pytest.mark.parametrize(
    "elsewhere", ["http://evil.example/x", "https://evil.example/x", "//evil.example/x", "file:///etc/passwd"]
)
async def test_a_redirect_to_elsewhere_is_not_followed(server: str, tmp_path: Path, elsewhere: str) -> None:
    with pytest.raises(AccountError, match="not allowed: add the host to ADREEL_DOWNLOAD_HOSTS"):
        await download(f"{server}/away?to={elsewhere}", tmp_path / "clip.mp4", HERE)
    assert not (tmp_path / "clip.mp4").exists()


@pytest.mark.parametrize(
    "url",
    ["https://runware.ai/x", "https://vm.runware.ai/x", "https://a.b.runware.ai:8443/x", "https://VM.Runware.AI/x"],
)
def test_an_allowed_host_is_taken_with_its_subdomains_over_https(url: str) -> None:
    DownloadRules(hosts=frozenset({"runware.ai"})).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evilrunware.ai/x",
        "https://runware.ai.evil.example/x",
        "https://runware.ai@evil.example/x",
        "https://evil.example/runware.ai",
        "https://evil.example/?.runware.ai",
        "http://vm.runware.ai/x",
        "ftp://runware.ai/x",
        "file:///etc/passwd",
        "http://127.0.0.1/x",
        "",
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    with pytest.raises(AccountError, match="not allowed"):
        DownloadRules(hosts=frozenset({"runware.ai"})).check(url)


@pytest.mark.parametrize("url", ["http://192.0.2.1/x", "http://evil.example/x", "http://127.0.0.1.evil.example/x"])
def test_plain_http_is_for_the_local_runware_alone(url: str) -> None:
    HERE.check("http://localhost:9000/x")
    with pytest.raises(AccountError, match="not allowed"):
        HERE.check(url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://[vm.runware.ai/x"),
        pytest.param("https://vm.runware.ai:port/x"),
        pytest.param("https://vm.runware.ai/\x01"),
    ],
    ids=["bracket", "port", "control character"],
)
async def test_an_address_that_is_none_makes_the_clip_unavailable(tmp_path: Path, url: str) -> None:
    with pytest.raises((ClipUnavailable, AccountError)):
        await download(url, tmp_path / "clip.mp4", HERE)


@pytest.mark.parametrize("entry", ["machine 127.0.0.1", "default"])
async def test_credentials_of_netrc_stay_here(
    server: str, tmp_path: Path, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text(f"{entry} login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for address in (f"{server}/authorization", f"{server}/away?to=/authorization"):
        await download(address, tmp_path / "sent.json", HERE)
        assert json.loads((tmp_path / "sent.json").read_text()) is None


async def test_the_proxy_of_the_environment_gets_its_credentials_and_no_error_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        with pytest.raises(ClipUnavailable, match=r"the download from vm\.runware\.ai failed: 403") as refused:
            await download("https://vm.runware.ai/clip.mp4", tmp_path / "clip.mp4", HERE)
    assert "secret" not in str(refused.value)
    assert asked[0].startswith("CONNECT vm.runware.ai:443")
    assert f"Proxy-Authorization: {encode_basic_auth('me', 'secret')}" in asked[0]


async def test_a_full_disk_is_an_error_of_the_storage(server: str) -> None:
    with pytest.raises(StorageError):
        await download(f"{server}/whole", Path("/dev/full"), HERE)


@pytest.mark.parametrize(
    ("provider", "plain"),
    [("ws://127.0.0.1:9000/v1", "127.0.0.1"), ("ws://localhost:1", "localhost"), ("wss://ws-api.runware.ai/v1", None)],
)
def test_the_rules_follow_from_the_settings(monkeypatch: pytest.MonkeyPatch, provider: str, plain: str | None) -> None:
    monkeypatch.setenv("ADREEL_DOWNLOAD_HOSTS", "runware.ai,cdn.example")
    monkeypatch.setenv("ADREEL_MAX_CLIP_MB", "1.5")
    rules = DownloadRules.from_settings(Settings.load(), provider)
    assert rules == DownloadRules(frozenset({"runware.ai", "cdn.example"}), plain, max_bytes=1_500_000)
