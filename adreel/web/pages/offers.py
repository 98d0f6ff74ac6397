"""What a button of a page buys: the prices of its clips, and how long own clips of the kind usually took."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from adreel.errors import StorageUnavailable
from adreel.index import SessionIndex, usual_seconds
from adreel.models.spend import Price
from adreel.models.takes import ClipRequest

Clip = tuple[ClipRequest | None, Price]
"""A clip to buy; its request is None if it can't be planned."""


@dataclass(frozen=True)
class Offer:
    """What a button buys. `wait` is the usual time of its slowest clip in seconds, None without own clips."""

    prices: list[Price] = field(default_factory=list)
    wait: float | None = None


class Offers:
    """Makes the offers of one page. `is_local` says whether the emulator renders."""

    def __init__(self, index: SessionIndex, *, is_local: bool) -> None:
        self._index, self._is_local = index, is_local
        self._waits: dict[tuple[str, float], float | None] = {}

    def of(self, clips: Sequence[Clip]) -> Offer:
        """Return the offer of these clips, which are rendered at the same time."""
        waits = [self.wait(request) for request, _ in clips]
        known = [wait for wait in waits if wait is not None]
        return Offer([price for _, price in clips], max(known) if known and len(known) == len(waits) else None)

    def wait(self, request: ClipRequest | None) -> float | None:
        """Return the usual time of a clip in seconds, None without own clips of its model and length."""
        if request is None:
            return None
        kind = (request.model, request.duration or 0)
        if kind not in self._waits:
            self._waits[kind] = None
            # It is no reason to show no page.
            with suppress(StorageUnavailable):
                self._waits[kind] = usual_seconds(self._index, *kind, is_local=self._is_local)
        return self._waits[kind]


def wait_label(seconds: float) -> str:
    """Return a time as people say it: "50 s", "2 min", "1 h 5 min"."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
