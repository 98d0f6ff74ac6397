"""Download of a rendered clip: transfer from an allowed host, probe of the local file, upload to the storage.

A paid clip is never discarded. It is stored, stored with warnings, or kept aside for a person to decide.
"""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from yarl import URL

from adreel.errors import AccountError, ClipUnavailable, StorageError
from adreel.models.api import ClipWarning
from adreel.models.takes import AsideFile, Clip, MusicRequest, Take, TaskRequest, VoiceRequest, clip_name
from adreel.purchase.probe.findings import Findings, Measures
from adreel.purchase.probe.process import probe
from adreel.records.threads import transfer
from adreel.settings import LOOPBACK, Settings, is_loopback
from adreel.storage import Storage
from adreel.storage.crash_points import crash_point
from adreel.storage.media import CHUNK_BYTES, HEAD_BYTES, TEXT, UNKNOWN, file_type, sha256_of

MAX_DOWNLOADS = 16
FORMAT_NAMES = {"clip": "an MP4", "voice": "a FLAC", "music": "a FLAC", "still": "a JPEG"}
MAX_REDIRECTS = 3
MAX_PAGE_BYTES = 1024 * 1024
"""A longer text is no error page: it may be a clip in an encoding of its own, so it is kept."""
SHORTER_SECONDS = 0.5
LONGER_SECONDS = 1.0
OTHER_PIXELS = 16
OTHER_SHARE = 0.02

_limits: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Interrupted(ClipUnavailable):
    """The downloaded file is truncated; `sha256` is the digest of the received bytes."""

    def __init__(self, message: str, sha256: str = "") -> None:
        super().__init__(message)
        self.sha256 = sha256


@dataclass(frozen=True)
class DownloadRules:
    """Allowed hosts with their subdomains, and the limits of a download in bytes and seconds."""

    hosts: frozenset[str]
    plain_host: str | None = None
    """Host of the emulator, which may serve plain http."""
    max_bytes: int = 500_000_000
    seconds: float = 600
    stall: float = 30

    @classmethod
    def from_settings(cls, settings: Settings, provider_url: str) -> "DownloadRules":
        """Derive the rules from the settings and the provider's address."""
        return cls(
            hosts=frozenset(settings.download_hosts),
            plain_host=urlsplit(provider_url).hostname if is_loopback(provider_url) else None,
            max_bytes=int(settings.max_clip_mb * 1_000_000),
        )

    def check(self, url: str) -> None:
        """Raise AccountError if clips must not be downloaded from the host of `url`."""
        parts = _parse_url(url)
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
class Downloaded:
    """Size in bytes, digest and first bytes of a downloaded file; `has_length`: the server announced the size."""

    size: int
    sha256: str
    has_length: bool = True
    head: bytes = field(default=b"", compare=False, repr=False)


def download_limit() -> asyncio.Semaphore:
    """Return the semaphore of this event loop's downloads, which need connections, disk and memory."""
    return _limits.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_DOWNLOADS))


async def download_clip(
    folder: Path, take: Take, storage: Storage, rules: DownloadRules, *, is_first: bool = False
) -> Clip | AsideFile:
    """Download the clip of a rendered take into a local folder, and measure it.

    A file that an earlier run has published is copied from the storage, because its address may have expired. With
    `is_first`, there can be none.
    Raises ClipUnavailable if the file is truncated, or a web page instead of a clip.
    """
    attempt, path = take.attempts[-1], folder / clip_name(take)
    if not is_first and (published := await published_clip(folder, take, storage)):
        return published
    if attempt.aside and (aside := await transfer(_published_aside, storage, attempt.aside)):
        return aside
    downloaded = await download(attempt.url or "", path, rules)
    crash_point("downloaded")
    extension, kind = file_type(downloaded.head), take.request.kind
    if extension == TEXT and downloaded.size <= MAX_PAGE_BYTES:
        raise ClipUnavailable("the clip's address returns text or a web page instead of the clip")
    found = Findings(reason=f"it is a .{extension} file, not {FORMAT_NAMES[kind]}")
    if extension in {path.suffix[1:], UNKNOWN}:
        found = await probe(path, kind)
    doubt = found.truncation
    if not ((found.measures and found.tells_length) or downloaded.has_length):
        # Neither the server nor the file tells its length: only a second download can confirm that it is complete.
        doubt = doubt or "its length is unknown"
    if doubt and attempt.interrupted_sha256 != downloaded.sha256:
        raise Interrupted(f"the clip may be incomplete: {doubt}", downloaded.sha256)
    if found.measures:
        return _clip(take, path, downloaded, found, found.measures)
    file = clip_name(take, f".aside.{extension}")
    path.rename(folder / file)
    reason = f"{found.reason}; {found.truncation}" if found.truncation else found.reason
    return AsideFile(file=file, sha256=downloaded.sha256, size=downloaded.size, reason=reason)


async def published_clip(folder: Path, take: Take, storage: Storage) -> Clip | None:
    """Copy the published clip of a take into a local folder and measure it; None if there is none."""
    path = folder / clip_name(take)
    published = await transfer(_copy_published, storage, path)
    if published is None:
        return None
    # Two runners may have received different bytes. The first published file is the clip.
    known = {take.clip.sha256, *take.attempts[-1].published_sha256} if take.clip else {published.sha256}
    found = await probe(path, take.request.kind) if published.sha256 in known else Findings()
    if found.measures is None:
        raise _name_conflict(storage, path.name)
    return _clip(take, path, published, found, found.measures)


async def download(url: str, target: Path, rules: DownloadRules) -> Downloaded:
    """Write the file at `url` to `target`.

    Raises ClipUnavailable if it is incomplete, AccountError if its host is not allowed or the file is too large.
    """
    limits = aiohttp.ClientTimeout(sock_connect=rules.stall, sock_read=rules.stall)
    try:
        async with asyncio.timeout(rules.seconds), _shared_session() as (session, proxies):
            for _ in range(MAX_REDIRECTS + 1):
                rules.check(url)
                address, options = _parse_url(url), _proxy_options(url, proxies)
                request = session.get(address, allow_redirects=False, timeout=limits, **options)
                async with request as response:
                    if not (300 <= response.status < 400 and "location" in response.headers):
                        return await _save_body(response, target, rules)
                    url = str(response.url.join(_parse_url(response.headers["location"])))
        raise ClipUnavailable(f"the clip's address redirects more than {MAX_REDIRECTS} times")
    except (aiohttp.InvalidURL, ValueError) as error:
        raise ClipUnavailable(f"the clip's address is not a valid URL: {error}") from None
    except aiohttp.ClientError as error:
        reason = str(error) or type(error).__name__
        raise ClipUnavailable(f"the download from {_parse_url(url).host} failed: {reason}") from error
    except TimeoutError:
        raise ClipUnavailable(f"the download took longer than {rules.seconds:g} s") from None
    except OSError as error:
        raise StorageError(
            f"can't write {target}: {error.strerror or error}; check the disk of ADREEL_STORAGE"
        ) from error


def publish(file: Clip | AsideFile, folder: Path, storage: Storage) -> None:
    """Upload a downloaded file; StorageError if the storage has another file of its name."""
    if not storage.publish(folder / file.file, file.file):
        _check_published(storage, file)


def publish_aside(aside: AsideFile, folder: Path, storage: Storage) -> None:
    """Upload a file that is not a playable MP4, unless an earlier run has."""
    if (folder / aside.file).exists():
        publish(aside, folder, storage)
    crash_point("kept aside")


def clip_warnings(measures: Measures, truncation: str, request: TaskRequest) -> list[ClipWarning]:
    """Return the differences between a bought file and its request."""
    warnings = []
    if truncation:
        message = f"{truncation}; a second download returned the same bytes"
        warnings.append(ClipWarning(code="brokenOff", message=message))
    seconds = request.duration
    if seconds is not None and not -SHORTER_SECONDS <= measures.duration - seconds <= LONGER_SECONDS:
        code = "shorterThanAsked" if measures.duration < seconds else "longerThanAsked"
        message = f"it lasts {measures.duration:.2f} s instead of {seconds:g} s"
        warnings.append(ClipWarning(code=code, message=message))
    if isinstance(request, VoiceRequest | MusicRequest) and measures.loudness is None:
        warnings.append(ClipWarning(code="silent", message="it is silent"))
    sides = ((measures.width, request.width), (measures.height, request.height))
    if any(wanted and abs(side - wanted) > max(OTHER_PIXELS, wanted * OTHER_SHARE) for side, wanted in sides):
        size, wanted_size = f"{measures.width}x{measures.height}", f"{request.width}x{request.height}"
        warnings.append(ClipWarning(code="otherSize", message=f"it is {size} instead of {wanted_size}"))
    return warnings


def _copy_published(storage: Storage, path: Path) -> Downloaded | None:
    digest, size = hashlib.sha256(), 0
    try:
        with storage.open(path.name) as source, path.open("wb") as copy:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                size += copy.write(chunk)
    except FileNotFoundError:
        return None
    return Downloaded(size, digest.hexdigest())


def _published_aside(storage: Storage, aside: AsideFile) -> AsideFile | None:
    try:
        _check_published(storage, aside)
    except FileNotFoundError:
        return None
    return aside


def _check_published(storage: Storage, file: Clip | AsideFile) -> None:
    with storage.open(file.file) as stream:
        if sha256_of(stream) != file.sha256:
            raise _name_conflict(storage, file.file)


def _name_conflict(storage: Storage, file: str) -> StorageError:
    return StorageError(f"another file is at {storage.location(file)}: move it away, then resume")


def _clip(take: Take, path: Path, downloaded: Downloaded, found: Findings, measures: Measures) -> Clip:
    return Clip(
        file=path.name,
        poster=clip_name(take, ".jpg") if take.request.kind in {"clip", "still"} else None,
        sha256=downloaded.sha256,
        size=downloaded.size,
        duration=round(measures.duration, 3),
        width=measures.width,
        height=measures.height,
        loudness=measures.loudness,
        warnings=clip_warnings(measures, found.truncation, take.request),
    )


def _parse_url(url: str) -> URL:
    # Re-encoding would break the signature of a signed URL. One parser serves the check and the request.
    return URL(url, encoded=True)


@dataclass
class _SharedSession:
    """The HTTP session of an event loop while downloads run, so they share connections."""

    users: int = 0
    session: aiohttp.ClientSession | None = None
    proxies: dict[str, str] = field(default_factory=dict)


_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, _SharedSession] = WeakKeyDictionary()


@asynccontextmanager
async def _shared_session() -> AsyncIterator[tuple[aiohttp.ClientSession, dict[str, str]]]:
    """Yield the session and the proxies of the environment by scheme."""
    shared = _sessions.setdefault(asyncio.get_running_loop(), _SharedSession())
    if shared.session is None:
        # aiohttp needs a quarter of HTTPX's processor time, which was the largest part of a download after the probe.
        shared.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_ssl_context()),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=CHUNK_BYTES,
            # Otherwise credentials of .netrc would be sent to the clip's host. The proxy is chosen for each address.
            trust_env=False,
        )
        # Once for all downloads: Python reads every variable of the environment each time.
        shared.proxies = getproxies_environment()
    session = shared.session
    shared.users += 1
    try:
        yield session, shared.proxies
    finally:
        shared.users -= 1
        if not shared.users:
            shared.session = None
            await session.close()


@cache
def _ssl_context() -> ssl.SSLContext:
    # Reading the certificates takes 10 ms and a megabyte.
    return httpx.create_ssl_context()


def _proxy_options(url: str, proxies: dict[str, str]) -> dict[str, Any]:
    parts = _parse_url(url)
    found = proxies.get(parts.scheme)
    if found is None or proxy_bypass(parts.host or ""):
        return {}
    proxy = URL(found)
    if proxy.user is None:
        return {"proxy": proxy}
    # Credentials are removed from the address, because errors name it.
    credentials = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
    return {"proxy": proxy.with_user(None), "proxy_headers": {"Proxy-Authorization": credentials}}


async def _save_body(response: aiohttp.ClientResponse, target: Path, rules: DownloadRules) -> Downloaded:
    if response.status != httpx.codes.OK:
        raise ClipUnavailable(f"{response.url.host} answers HTTP {response.status} instead of the clip")
    size, digest, head, chunk = 0, hashlib.sha256(), b"", b"start"
    with target.open("wb") as stream:

        def keep(chunk: bytes) -> None:
            stream.write(chunk)
            digest.update(chunk)

        while chunk:
            try:
                chunk = await response.content.readexactly(min(CHUNK_BYTES, rules.max_bytes + 1 - size))
            except asyncio.IncompleteReadError as end:
                chunk = end.partial
            size += len(chunk)
            if size > rules.max_bytes:
                raise AccountError(
                    f"the clip is larger than {rules.max_bytes / 1e6:g} MB: raise ADREEL_MAX_CLIP_MB, then resume"
                )
            head = head or chunk[:HEAD_BYTES]
            if chunk:
                await asyncio.to_thread(keep, chunk)
    if size == 0:
        raise ClipUnavailable(f"{response.url.host} sent no bytes")
    return Downloaded(size, digest.hexdigest(), has_length=response.content_length is not None, head=head)
