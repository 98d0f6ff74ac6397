"""The catalogue that `adreel models refresh` keeps in the storage, where every worker finds it."""

import json
import time
from dataclasses import dataclass

from adreel.catalog import Catalog, packaged
from adreel.storage import Storage

PATH = "catalog/models.json"
FRESH_SECONDS = 30.0
"""How long a process uses what it has read. Planning a job would else read it each time."""


@dataclass
class _Read:
    catalog: Catalog
    at: float


_read: dict[str, _Read] = {}


def load_catalog(storage: Storage) -> Catalog:
    """Return the newer of the refreshed catalogue in a storage and that of this release."""
    place = storage.location(PATH)
    known = _read.get(place)
    if known is None or time.monotonic() - known.at > FRESH_SECONDS:
        known = _read[place] = _Read(_load(storage), time.monotonic())
    return known.catalog


def _load(storage: Storage) -> Catalog:
    try:
        stored = Catalog.parse(json.loads(storage.read(PATH)))
    except FileNotFoundError:
        return packaged()
    except (ValueError, KeyError, TypeError, AttributeError):
        # An unreadable catalogue must not stop purchases: the facts of this release are good enough.
        return packaged()
    return max(stored, packaged(), key=lambda catalog: catalog.as_of)
