"""Rate limit of wrong keys for each address, so guessing a weak key takes years instead of hours."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from adreel.web.keys import Caller
from adreel.web.problems import HTTPProblem

AT_ONCE = 30
SECONDS_EACH = 2.0
MOST_ADDRESSES = 10_000


def client_address(scope: Scope) -> str:
    """Return the address of a request's client, as a trusted proxy names it; "-" if it is not an IP address."""
    try:
        return str(ip_address((scope.get("client") or ("",))[0]))
    except ValueError:
        return "-"


class GuessLimits:
    """Lets each address send AT_ONCE wrong keys, then one in SECONDS_EACH.

    Further keys from this address are refused without a check. Keys that were valid from this address before still
    work, so a client with an old key does not lock out its neighbours.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Remaining guesses of each address and the time of the count, ordered by last use.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def judge(self, address: str, caller: Caller | None) -> Caller | None:
        """Return the caller of a key, None for a wrong key; HTTPProblem after too many wrong keys from the address."""
        place = _place(address)
        if caller is not None and (place, caller.name) in self._known:
            return caller
        now = self._clock()
        left, at = self._left.get(place, (float(AT_ONCE), now))
        left = min(float(AT_ONCE), left + (now - at) / SECONDS_EACH)
        if left < 1:
            wait = str(max(1, round((1 - left) * SECONDS_EACH)))
            detail = "too many wrong keys came from this address: wait a moment"
            raise HTTPProblem(429, "guesses", detail, headers={"Retry-After": wait})
        if caller is None:
            self._left[place] = (left - 1, now)
            self._left.move_to_end(place)
            _trim(self._left)
        else:
            self._known[place, caller.name] = None
            _trim(self._known)
        return caller


def _place(address: str) -> str:
    """Return the unit of the limit: an IPv4 address, or an IPv6 network."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(IPv6Network((found, 64), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)


def _trim(entries: "OrderedDict[str, tuple[float, float]] | OrderedDict[tuple[str, str], None]") -> None:
    if len(entries) > MOST_ADDRESSES:
        entries.popitem(last=False)
