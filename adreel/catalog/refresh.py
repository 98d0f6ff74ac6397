"""Refresh of the catalogue from the pages that Runware publishes, without a key. It changes all or nothing."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from adreel.catalog import Catalog
from adreel.catalog.facts import Rate, VideoModel
from adreel.catalog.published import (
    IndexEntry,
    ListedModel,
    parse_index,
    parse_listing,
    parse_pricing,
    plain_capabilities,
    renders_video,
)
from adreel.catalog.schemas import VIDEO_TASK, Schema, parse_schema
from adreel.catalog.stored import load_catalog, store_catalog
from adreel.catalog.updates import Changes, ModelPages, changes, update_catalog, update_model
from adreel.storage import Storage

DOCS_URL = "https://runware.ai"
CONTENT_URL = "https://content.runware.ai"
NOT_OFFERED_YET = "coming-soon"
LEAST_SHARE = 0.5
"""Share of the known models that an index has to list. A shorter one would retire models that are still offered."""
BUSY = frozenset({429, 500, 502, 503, 504})
RETRY_PAUSE = 0.5
ADVICE = "; the catalogue stays as it is"

T = TypeVar("T")


class PageError(Exception):
    """A page can't be read, or is not what was expected. The message names its address."""


@dataclass(frozen=True)
class Limits:
    """Limits of the requests: seconds for one page and for all, bytes of one page, requests at once."""

    page_seconds: float = 20
    total_seconds: float = 300
    page_bytes: int = 8 * 2**20
    at_once: int = 8


@dataclass(frozen=True)
class Refresh:
    """The refreshed catalogue, what it changed, and the models whose pages can't be read, with the reasons."""

    catalog: Catalog
    changes: Changes
    unread: dict[str, str] = field(default_factory=dict)


def refresh_catalog(
    storage: Storage, address: str | None = None, *, keep_going: bool = False, limits: Limits | None = None
) -> Refresh:
    """Read Runware's pages, or those at another base address, and keep the result in the storage.

    PageError if a page is not what was expected: then nothing changes. With `keep_going`, models whose pages can't be
    read keep their old facts.
    """
    base = load_catalog(storage)
    today = datetime.now(UTC).date()
    catalog, unread = asyncio.run(_read(base, address, limits or Limits(), today, keep_going=keep_going))
    store_catalog(storage, catalog)
    return Refresh(catalog, changes(base, catalog), unread)


async def _read(
    base: Catalog, address: str | None, limits: Limits, today: date, *, keep_going: bool
) -> tuple[Catalog, dict[str, str]]:
    headers = {"User-Agent": f"adreel/{version('adreel')}", "Accept": "application/json"}
    try:
        client = httpx.AsyncClient(headers=headers, timeout=limits.page_seconds)
        async with asyncio.timeout(limits.total_seconds), client:
            pages = _Pages(client, (address or DOCS_URL).rstrip("/"), (address or CONTENT_URL).rstrip("/"), limits)
            return await _Reader(pages, base, today).read(keep_going=keep_going)
    except TimeoutError:
        raise PageError(f"Runware's pages took longer than {limits.total_seconds:g} s{ADVICE}") from None


class _Pages:
    """Fetches pages, a few at once, and names the address of one that is not what was expected."""

    def __init__(self, client: httpx.AsyncClient, docs: str, content: str, limits: Limits) -> None:
        self._client, self._docs, self._content, self._limits = client, docs, content, limits
        self._slots = asyncio.Semaphore(limits.at_once)

    @property
    def index_url(self) -> str:
        return f"{self._docs}/docs/models/index.json"

    def schema_url(self, slug: str) -> str:
        return f"{self._docs}/docs/models/{quote(slug, safe='')}/schema.json"

    async def index(self) -> list[IndexEntry]:
        return await self._page(self.index_url, parse_index)

    async def listing(self) -> dict[str, ListedModel]:
        return await self._page(f"{self._content}/models", parse_listing)

    async def schema(self, slug: str) -> Schema:
        return await self._page(self.schema_url(slug), parse_schema)

    async def rates(self, air: str) -> tuple[Rate, ...]:
        return await self._page(
            f"{self._content}/models/{quote(air, safe='')}/pricing", partial(parse_pricing, air=air)
        )

    async def _page(self, url: str, parse: Callable[[Any], T]) -> T:
        content = await self._fetch(url)
        try:
            return parse(json.loads(content))
        except json.JSONDecodeError as error:
            kind = "HTML" if content.lstrip()[:1] == b"<" else "no valid JSON"
            raise unreadable(url, f"it is {kind}, {len(content)} bytes: {error.msg}") from None
        except ValueError as error:
            raise unreadable(url, str(error)) from None
        except RecursionError:
            raise unreadable(url, "it is nested too deeply") from None

    async def _fetch(self, url: str) -> bytes:
        async with self._slots:
            try:
                return await self._try(url)
            except _Busy:
                await asyncio.sleep(RETRY_PAUSE)
            try:
                return await self._try(url)
            except _Busy as error:
                raise unreadable(url, str(error)) from None

    async def _try(self, url: str) -> bytes:
        content = bytearray()
        try:
            async with asyncio.timeout(self._limits.page_seconds), self._client.stream("GET", url) as response:
                if response.status_code in BUSY:
                    raise _Busy(f"HTTP {response.status_code}")
                if response.status_code != httpx.codes.OK:
                    raise unreadable(url, f"HTTP {response.status_code}")
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > self._limits.page_bytes:
                        raise unreadable(url, f"it is larger than {self._limits.page_bytes / 2**20:g} MiB")
        except TimeoutError:
            raise unreadable(url, f"it took longer than {self._limits.page_seconds:g} s") from None
        except httpx.HTTPError as error:
            raise _Busy(str(error) or type(error).__name__) from error
        return bytes(content)


class _Busy(Exception):
    """A failure that may be over in a moment."""


class _Reader:
    """Reads the pages of all video models into a catalogue."""

    def __init__(self, pages: _Pages, base: Catalog, today: date) -> None:
        self._pages, self._base, self._today = pages, base, today
        self._known = {model.slug: model for model in base.models.values()}
        self._models: dict[str, VideoModel] = {}
        self._unread: dict[str, str] = {}

    async def read(self, *, keep_going: bool) -> tuple[Catalog, dict[str, str]]:
        index, listing = await self._pages.index(), await self._pages.listing()
        known = sum(self._old(entry) is not None for entry in index)
        if known < LEAST_SHARE * len(self._base.models):
            reason = f"it lists {known} of the {len(self._base.models)} known video models"
            raise unreadable(self._pages.index_url, reason)
        try:
            async with asyncio.TaskGroup() as group:
                for entry in index:
                    if self._is_video(entry, listing.get(entry.air or "")):
                        group.create_task(self._read(entry, listing, keep_going=keep_going))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return update_catalog(self._base, self._models, listing, self._today), self._unread

    def _old(self, entry: IndexEntry) -> VideoModel | None:
        return self._base.models.get(entry.air) if entry.air else self._known.get(entry.slug)

    def _is_video(self, entry: IndexEntry, listed: ListedModel | None) -> bool:
        if self._old(entry):
            return True
        if (entry.status or "").lower() == NOT_OFFERED_YET:
            return False
        capabilities = entry.capabilities or (listed.capabilities if listed else None)
        # Without capabilities, only the schema tells.
        return capabilities is None or renders_video(plain_capabilities(capabilities))

    async def _read(self, entry: IndexEntry, listing: dict[str, ListedModel], *, keep_going: bool) -> None:
        try:
            model = await self._model(entry, listing)
        except PageError as error:
            if not keep_going:
                raise
            model = self._old(entry)
            self._unread[entry.air or entry.slug] = str(error)
        if model:
            self._models[model.air] = model

    async def _model(self, entry: IndexEntry, listing: dict[str, ListedModel]) -> VideoModel | None:
        """Return a model with what its pages tell; None if it renders no videos, or has no AIR."""
        old, url = self._old(entry), self._pages.schema_url(entry.slug)
        schema = await self._pages.schema(entry.slug)
        air = entry.air or schema.air or (old.air if old else None)
        if schema.air and schema.air != air:
            raise unreadable(url, f"it is the schema of {schema.air!r}")
        if old and schema.task_type != VIDEO_TASK:
            raise unreadable(url, f"it is the schema of {schema.task_type!r}, not {VIDEO_TASK}")
        if air is None or schema.task_type != VIDEO_TASK:
            return None
        pages = ModelPages(entry, listing.get(air), schema, await self._pages.rates(air))
        try:
            return update_model(air, old, pages, self._today)
        except ValueError as error:
            raise unreadable(url, f"it makes no valid model: {error}") from None


def unreadable(url: str, reason: str) -> PageError:
    """Return the error of a page that is not what was expected."""
    return PageError(f"can't use {url}: {reason}{ADVICE}")
