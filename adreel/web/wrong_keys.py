"""Rate limit of wrong keys for each address: guessing a weak key takes years instead of hours."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from adreel.web.keys import Caller
from adreel.web.problems import HTTPProblem

BURST = 30
SECONDS_EACH = 2.0
MAX_ADDRESSES = 10_000


def client_address(scope: Scope) -> str:
    """Return the address of a request's client, as a trusted proxy names it; "-" if it is not an IP address."""
    try:
        return str(ip_address((scope.get("client") or ("",))[0]))
    except ValueError:
        return "-"


class WrongKeyLimiter:
    """Lets each address send BURST wrong keys, then one in SECONDS_EACH.

    Further keys from this address are refused without a check. Keys that were valid from this address before still
    work, so a client with an old key does not lock out its neighbours.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Remaining guesses of each network and the time of the count, ordered by last use.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, address: str, caller: Caller | None) -> Caller | None:
        """Return the caller of a key, None for a wrong key; HTTPProblem after too many wrong keys from the address."""
        network = _network_of(address)
        if caller is not None and (network, caller.name) in self._known:
            return caller
        left = self._guesses_left(network)
        if caller is None:
            self._left[network] = (left - 1, self._clock())
            self._left.move_to_end(network)
            if len(self._left) > MAX_ADDRESSES:
                self._left.popitem(last=False)
        else:
            self._known[network, caller.name] = None
            if len(self._known) > MAX_ADDRESSES:
                self._known.popitem(last=False)
        return caller

    def check_before_lookup(self, address: str, claimed: Caller) -> None:
        """Raise HTTPProblem where `check` would for a wrong key, so that a guess costs no request to the storage."""
        network = _network_of(address)
        if (network, claimed.name) not in self._known:
            self._guesses_left(network)

    def _guesses_left(self, network: str) -> float:
        now = self._clock()
        left, at = self._left.get(network, (float(BURST), now))
        left = min(float(BURST), left + (now - at) / SECONDS_EACH)
        if left < 1:
            wait = str(max(1, round((1 - left) * SECONDS_EACH)))
            detail = "too many wrong keys or links came from this address: wait a moment"
            raise HTTPProblem(429, "guesses", detail, headers={"Retry-After": wait})
        return left


def _network_of(address: str) -> str:
    """Return the network that counts as one client: the host part of an IPv6 address is free to choose."""
    if ":" in address and isinstance(found := ip_address(address), IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(IPv6Network((found, 64), strict=False))
    return address
