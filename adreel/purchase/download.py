"""Downloads of clips to a local file: from allowed hosts only, complete, and within limits."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from yarl import URL

from adreel.errors import AccountError, ClipUnavailable, StorageError
from adreel.settings import LOOPBACK, Settings, is_loopback

REDIRECTS = 3
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class DownloadRules:
    """Where clips may come from (hosts with their subdomains), how large they may be and how long it may take."""

    hosts: frozenset[str]
    plain_host: str | None = None
    """The local Runware's host, which may serve plain http."""
    max_bytes: int = 500_000_000
    seconds: float = 600
    stall: float = 30

    @classmethod
    def of(cls, settings: Settings, provider_url: str) -> "DownloadRules":
        """Derive the rules from the settings and the provider's address."""
        return cls(
            hosts=frozenset(settings.download_hosts),
            plain_host=urlsplit(provider_url).hostname if is_loopback(provider_url) else None,
            max_bytes=int(settings.max_clip_mb * 1_000_000),
        )

    def check(self, url: str) -> None:
        """Raise AccountError if a clip may not be fetched from there."""
        parts = _parsed(url)
        host = parts.host or ""
        if parts.scheme == "https" and any(host == allowed or host.endswith(f".{allowed}") for allowed in self.hosts):
            return
        if parts.scheme in {"http", "https"} and self.plain_host and host in {self.plain_host, *LOOPBACK}:
            return
        raise AccountError(
            f"the clip is at {parts.scheme}://{host}, which is not allowed: add the host to ADREEL_DOWNLOAD_HOSTS"
            " if you trust it, then resume"
        )


@dataclass(frozen=True)
class Arrived:
    """Size in bytes and digest of a downloaded file; `has_length`: the server announced the size."""

    size: int
    sha256: str
    has_length: bool = True


async def download(url: str, target: Path, rules: DownloadRules) -> Arrived:
    """Write the clip at `url` to `target`, piece by piece.

    Raises ClipUnavailable if it did not come whole, AccountError if its host is not allowed.
    """
    limits = aiohttp.ClientTimeout(sock_connect=rules.stall, sock_read=rules.stall)
    try:
        async with asyncio.timeout(rules.seconds), _shared_session() as session:
            for _ in range(REDIRECTS + 1):
                rules.check(url)
                request = session.get(_parsed(url), allow_redirects=False, timeout=limits, **_proxy_of(url))
                async with request as response:
                    if not (300 <= response.status < 400 and "location" in response.headers):
                        return await _save(response, target, rules)
                    url = str(response.url.join(_parsed(response.headers["location"])))
        raise ClipUnavailable(f"the clip's address leads on more than {REDIRECTS} times")
    except (aiohttp.InvalidURL, ValueError) as error:
        raise ClipUnavailable(f"the clip's address is no good URL: {error}") from None
    except aiohttp.ClientError as error:
        reason = str(error) or type(error).__name__
        raise ClipUnavailable(f"the download from {_parsed(url).host} broke: {reason}") from error
    except TimeoutError:
        raise ClipUnavailable(f"the clip did not arrive within {rules.seconds:g} s") from None
    except OSError as error:
        raise StorageError(
            f"can't write {target}: {error.strerror or error}; check the disk of ADREEL_STORAGE"
        ) from error


def _parsed(url: str) -> URL:
    # As it is: whoever signed it, signed its letters. What is checked and what is asked is read by one parser.
    return URL(url, encoded=True)


@dataclass
class _Shared:
    """The session of an event loop, while somebody downloads: connections are used again, with their handshakes."""

    users: int = 0
    session: aiohttp.ClientSession | None = None


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


@asynccontextmanager
async def _shared_session() -> AsyncIterator[aiohttp.ClientSession]:
    shared = _of_loop.setdefault(asyncio.get_running_loop(), _Shared())
    session = shared.session = shared.session or _session()
    shared.users += 1
    try:
        yield session
    finally:
        shared.users -= 1
        if not shared.users:
            shared.session = None
            await session.close()


def _session() -> aiohttp.ClientSession:
    # A quarter of the time that HTTPX takes: of a clip's way home, this was the dearest part after its pictures.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=_trust()),
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=CHUNK,
        # Otherwise credentials of .netrc would be sent to the clip's host. The proxy is chosen for each address.
        trust_env=False,
    )


def _proxy_of(url: str) -> dict[str, Any]:
    parts = _parsed(url)
    found = getproxies_environment().get(parts.scheme)
    if found is None or proxy_bypass(parts.host or ""):
        return {}
    proxy = URL(found)
    if proxy.user is None:
        return {"proxy": proxy}
    # Credentials are removed from the address, because errors name it.
    credentials = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
    return {"proxy": proxy.with_user(None), "proxy_headers": {"Proxy-Authorization": credentials}}


@cache
def _trust() -> ssl.SSLContext:
    # Reading the certificates takes a hundredth of a second and a megabyte.
    return httpx.create_ssl_context()


async def _save(response: aiohttp.ClientResponse, target: Path, rules: DownloadRules) -> Arrived:
    host = response.url.host
    if response.status != httpx.codes.OK:
        raise ClipUnavailable(f"{host} answers HTTP {response.status} instead of the clip")
    size, digest = 0, hashlib.sha256()
    with target.open("wb") as stream:
        while chunk := await _chunk(response.content, min(CHUNK, rules.max_bytes + 1 - size)):
            size += len(chunk)
            if size > rules.max_bytes:
                raise AccountError(
                    f"the clip is larger than {rules.max_bytes / 1e6:g} MB: raise ADREEL_MAX_CLIP_MB, then resume"
                )
            await asyncio.to_thread(_keep, stream, digest, chunk)
    if size == 0:
        raise ClipUnavailable(f"{host} sent no bytes")
    return Arrived(size, digest.hexdigest(), has_length=response.content_length is not None)


async def _chunk(content: aiohttp.StreamReader, most: int) -> bytes:
    try:
        return await content.readexactly(most)
    except asyncio.IncompleteReadError as end:
        return end.partial


def _keep(stream: BinaryIO, digest: "hashlib._Hash", chunk: bytes) -> None:
    stream.write(chunk)
    digest.update(chunk)
