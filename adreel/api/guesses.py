"""Wrong keys, limited for each address: guessing a weak key takes years instead of hours."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from adreel.api.keys import Caller
from adreel.api.problems import Refusal

AT_ONCE = 30
SECONDS_EACH = 2.0
MOST_ADDRESSES = 10_000


def client_address(scope: Scope) -> str:
    """Return the address of a request's sender, as a trusted proxy names it; "-" if it is none."""
    try:
        return str(ip_address((scope.get("client") or ("",))[0]))
    except ValueError:
        return "-"


class GuessLimits:
    """Lets each address send AT_ONCE wrong keys, then one in SECONDS_EACH.

    Further keys from there are refused unread, but for those that came from there before: a client that is left with
    an old key must not lock out its neighbours.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # How many guesses an address has left, and since when; those that guessed last stand at the end.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def judge(self, address: str, caller: Caller | None) -> Caller | None:
        """Return the caller of a key that an address has sent, None for a wrong key; Refusal after too many."""
        place = _place(address)
        if caller is not None and (place, caller.name) in self._known:
            return caller
        now = self._clock()
        left, at = self._left.get(place, (float(AT_ONCE), now))
        left = min(float(AT_ONCE), left + (now - at) / SECONDS_EACH)
        if left < 1:
            wait = str(max(1, round((1 - left) * SECONDS_EACH)))
            detail = "too many wrong keys came from this address: wait a moment"
            raise Refusal(429, "guesses", detail, headers={"Retry-After": wait})
        if caller is None:
            self._left[place] = (left - 1, now)
            self._left.move_to_end(place)
            _trim(self._left)
        else:
            self._known[place, caller.name] = None
            _trim(self._known)
        return caller


def _place(address: str) -> str:
    """Return what one party has: an IPv4 address, or a network of IPv6."""
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
