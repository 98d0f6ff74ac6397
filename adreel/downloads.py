"""Brings a clip's bytes home to a local file: from allowed hosts only, whole, and within limits."""

import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import httpx

from adreel.errors import AccountError, ClipUnavailable, StorageError
from adreel.settings import LOOPBACK, Settings, is_loopback

REDIRECTS = 3
CHUNK = 256 * 1024


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
        parts = urlsplit(url)
        host = parts.hostname or ""
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
    """What was counted while a file came in; `size` in bytes."""

    size: int
    sha256: str


async def download(url: str, target: Path, rules: DownloadRules) -> Arrived:
    """Write the clip at `url` to `target`, piece by piece.

    Raises ClipUnavailable if it did not come whole, AccountError if its host is not allowed.
    """
    timeout = httpx.Timeout(rules.stall)
    try:
        async with asyncio.timeout(rules.seconds), httpx.AsyncClient(timeout=timeout, verify=_trust()) as client:
            for _ in range(REDIRECTS + 1):
                rules.check(url)
                async with client.stream("GET", url) as response:
                    if not response.has_redirect_location:
                        return await _save(response, target, rules)
                    url = urljoin(url, response.headers["location"])
        raise ClipUnavailable(f"the clip's address leads on more than {REDIRECTS} times")
    except TimeoutError:
        raise ClipUnavailable(f"the clip did not arrive within {rules.seconds:g} s") from None
    except (httpx.InvalidURL, ValueError) as error:
        raise ClipUnavailable(f"the clip's address is no good URL: {error}") from None
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise ClipUnavailable(f"the download from {urlsplit(url).hostname} broke: {reason}") from error
    except OSError as error:
        raise StorageError(
            f"can't write {target}: {error.strerror or error}; check the disk of ADREEL_STORAGE"
        ) from error


@cache
def _trust() -> ssl.SSLContext:
    # Reading the certificates takes a hundredth of a second and a megabyte, for each client anew.
    return httpx.create_ssl_context()


async def _save(response: httpx.Response, target: Path, rules: DownloadRules) -> Arrived:
    host = response.url.host
    if response.status_code != httpx.codes.OK:
        raise ClipUnavailable(f"{host} answers HTTP {response.status_code} instead of the clip")
    promised = response.headers.get("content-length", "")
    size, digest = 0, hashlib.sha256()
    with target.open("wb") as stream:
        async for chunk in response.aiter_bytes(CHUNK):
            size += len(chunk)
            if size > rules.max_bytes:
                raise AccountError(
                    f"the clip is larger than {rules.max_bytes / 1e6:g} MB: raise ADREEL_MAX_CLIP_MB, then resume"
                )
            await asyncio.to_thread(_keep, stream, digest, chunk)
    if size == 0:
        raise ClipUnavailable(f"{host} sent no bytes")
    if promised.isdigit() and "content-encoding" not in response.headers and size != int(promised):
        raise ClipUnavailable(f"{host} sent {size} of {promised} bytes")
    return Arrived(size, digest.hexdigest())


def _keep(stream: BinaryIO, digest: "hashlib._Hash", chunk: bytes) -> None:
    stream.write(chunk)
    digest.update(chunk)
