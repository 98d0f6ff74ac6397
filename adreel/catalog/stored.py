"""The catalogue that `adreel models refresh` keeps in the storage, where every worker finds it."""

import json
import logging
import time
from dataclasses import dataclass

from adreel.catalog import Catalog, packaged
from adreel.storage import Storage

log = logging.getLogger("adreel.catalog")

PATH = "catalog/models.json"
FRESH_SECONDS = 30.0
"""How long a process uses what it has read. Planning a job would else read it each time."""
MAX_BYTES = 16 * 2**20


@dataclass
class _Read:
    catalog: Catalog
    at: float


_read: dict[str, _Read] = {}
_warned: set[str] = set()


def load_catalog(storage: Storage) -> Catalog:
    """Return the newer of the refreshed catalogue in a storage and that of this release."""
    place = storage.location(PATH)
    known = _read.get(place)
    if known is None or time.monotonic() - known.at > FRESH_SECONDS:
        known = _read[place] = _Read(_load(storage), time.monotonic())
    return known.catalog


def store_catalog(storage: Storage, catalog: Catalog) -> None:
    """Keep a refreshed catalogue in a storage. Of two refreshes at the same time, the later one wins."""
    content = json.dumps(catalog.document(), ensure_ascii=False, indent=1).encode()
    storage.update(PATH, lambda _: content)
    _read[storage.location(PATH)] = _Read(catalog, time.monotonic())


def _load(storage: Storage) -> Catalog:
    try:
        stored = Catalog.parse(json.loads(storage.read(PATH, MAX_BYTES)))
    except FileNotFoundError:
        return packaged()
    except Exception as error:
        # An outage of the storage stops a purchase anyway, and is tried again.
        if getattr(error, "retryable", False):
            raise
        # An unreadable catalogue must not stop purchases: the facts of this release are good enough.
        _warn_once(storage.location(PATH), f"{type(error).__name__}: {error}".splitlines()[0])
        return packaged()
    return max(stored, packaged(), key=lambda catalog: catalog.as_of)


def _warn_once(place: str, reason: str) -> None:
    if place not in _warned:
        _warned.add(place)
        log.warning(
            "the catalogue at %s is unreadable (%s): that of this release is used until `adreel models refresh`",
            place,
            reason,
        )
