"""A client of the emulator from Runware's newer SDK, for the peers that wait with it."""

import math

from runware import Runware
from runware.registry import _CacheEntry

from benchmarks.peers import clips


def client() -> Runware:
    """Return a client with a given list of models, which it would otherwise download from the internet."""
    runware = Runware(api_key=clips.KEY, ws_base_url=clips.RUNWARE)
    registry = runware._registry
    registry._cache = _CacheEntry(registry._fallback, math.inf, None)
    registry._initial_fetch_attempted = True
    return runware
