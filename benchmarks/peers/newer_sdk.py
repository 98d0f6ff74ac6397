"""A client of the local Runware from Runware's newer SDK, for the peers that wait with it."""

import math

from runware import Runware
from runware.registry import _CacheEntry

from benchmarks.peers import clips


def client() -> Runware:
    """Return a client that has its list of models already: it would fetch that from the internet."""
    runware = Runware(api_key=clips.KEY, ws_base_url=clips.RUNWARE)
    registry = runware._registry
    registry._cache = _CacheEntry(registry._fallback, math.inf, None)
    registry._initial_fetch_attempted = True
    return runware
