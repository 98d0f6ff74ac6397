"""Prices by the labels of the catalogue's rates."""

from typing import Any

import pytest

from adreel.emulator.clips import Clip
from adreel.emulator.facts import Facts
from adreel.emulator.prices import price_of
from tests.local_runware.client import Starting

FACTS = Facts()
IMAGE = "https://images.example/lamp.png"


def price(model: str, *, seconds: float = 5, resolution: str | None = None, **changes: Any) -> float:
    width, height = map(int, changes.pop("size", "1280x720").split("x"))
    clip = Clip("a lamp", model, 0, width, height, 24, round(seconds * 24), changes.pop("sound", False), **changes)
    return price_of(clip, FACTS.models.get(model), seconds=seconds, resolution=resolution)


@pytest.mark.parametrize(
    ("model", "clip", "usd"),
    [
        ("klingai:kling-video@3-standard", {}, 5 * 0.084),
        ("klingai:kling-video@3-standard", {"sound": True}, 5 * 0.126),
        ("google:3@2", {"seconds": 8, "resolution": "4K", "sound": True}, 8 * 0.6),
        ("google:3@2", {"seconds": 8, "size": "1920x1080"}, 8 * 0.2),
        ("bytedance:2@2", {"size": "128x72", "seconds": 1}, 0.00629),
        ("bytedance:2@2", {"resolution": "1080p"}, 5 * 0.03177),
        ("alibaba:wan@2.6", {"size": "960x960"}, 5 * 0.1),
        ("minimax:4@1", {"size": "1366x768", "seconds": 6}, 0.28),
        ("minimax:4@1", {"size": "1366x768", "seconds": 10}, 0.56),
        ("minimax:4@1", {"size": "1920x1080", "seconds": 6}, 0.49),
        ("klingai:kling@o1-standard", {"first": IMAGE}, 5 * 0.084),
        ("klingai:kling@o1-standard", {"references": (IMAGE,)}, 5 * 0.126),
        ("xai:grok-imagine@video", {"resolution": "480p", "first": IMAGE}, 0.302),
        ("klingai:kling-video@o3-pro", {"sound": True}, 5 * 0.14),
        ("runway:1@2", {}, 5 * 0.12),
        ("heygen:video-agent@0", {}, 5 * 0.05),
        ("local:card@1", {"seconds": 1.5}, 0.075),
    ],
)
def test_price_is_that_of_the_label(model: str, clip: dict[str, Any], usd: float) -> None:
    assert price(model, **clip) == pytest.approx(usd)


async def test_catalogue_prices_are_billed_unless_a_price_is_given(start: Starting) -> None:
    for given, usd in ((None, 0.00629), (0.1, 0.1)):
        rest = await start(price=given)
        assert (await rest.ended(await rest.buy(model="bytedance:2@2")))["cost"] == usd
        assert rest.server.ledger.billed == usd


async def test_changed_price_is_billed(start: Starting) -> None:
    rest = await start()
    rest.server.change_model("bytedance:2@2", prices=[{"amount": 0.2, "per": "second", "label": "720p"}])
    assert (await rest.ended(await rest.buy(model="bytedance:2@2")))["cost"] == 0.2
