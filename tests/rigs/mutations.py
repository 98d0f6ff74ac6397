"""Bugs that lose a paid file or buy it twice, which the rigs must detect. `MUTATIONS` are earlier ones of adreel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adreel.errors import ClipUnavailable
from adreel.models import takes
from adreel.purchase import download
from adreel.purchase.state_machine import Purchase
from adreel.storage import Storage
from adreel.storage.media import TEXT


def discard_short(patch: pytest.MonkeyPatch) -> str:
    """Refuse a clip that differs from its order. Returns the fault that reveals it."""

    def refuse(*_: object) -> None:
        raise ClipUnavailable("it is shorter than what was asked for")

    patch.setattr(download, "clip_warnings", _of_odd(refuse, download.clip_warnings))
    return "shorterVideo"


def refuse_odd(patch: pytest.MonkeyPatch) -> str:
    """Treat a file of another format as a temporary page in the clip's place."""
    patch.setattr(download, "file_type", lambda _head: TEXT)
    return "webmBytes"


def drop_aside(patch: pytest.MonkeyPatch) -> str:
    """End the take without publishing the bytes that should be kept aside."""
    publish = Storage.publish

    def forget(self: Storage, source: Path, path: str) -> bool:
        return True if ".aside." in path else publish(self, source, path)

    patch.setattr(Storage, "publish", forget)
    return "undecodableBytes"


def buy_voices_anew(patch: pytest.MonkeyPatch) -> None:
    """Order a voice again if a run has died before it was stored."""
    open_attempt = Purchase._open_attempt

    async def forget(self: Purchase) -> None:
        if self.take.request.kind == "voice" and self.take.is_open:
            self.take.plan_attempt(takes.utc_now())
            self._is_resumed = False
        await open_attempt(self)

    patch.setattr(Purchase, "_open_attempt", forget)


def store_half_as_whole(patch: pytest.MonkeyPatch) -> None:
    """Store a truncated file without a warning."""
    warnings = download.clip_warnings
    patch.setattr(download, "clip_warnings", lambda measures, _truncation, request: warnings(measures, "", request))


def _of_odd(refuse: Callable[..., object], warnings: Callable[..., list[Any]]) -> Callable[..., object]:
    def warn(*args: Any) -> object:
        found = warnings(*args)
        return refuse() if found else found

    return warn


MUTATIONS: dict[str, Callable[[pytest.MonkeyPatch], str]] = {
    "discard a short clip": discard_short,
    "refuse odd bytes": refuse_odd,
    "drop what is kept aside": drop_aside,
}
