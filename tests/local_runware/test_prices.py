"""Prices by the labels of the catalogue's rates."""

from typing import Any

import pytest

from adreel.emulator.clips import Clip
from adreel.emulator.facts import Facts
from adreel.emulator.prices import clip_price, price_of
from adreel.emulator.sounds import Sound
from adreel.emulator.stills import Still
from tests.local_runware.additions import MUSIC, STILL, VOICE, WORDS, draw, new_facts, play, speak
from tests.local_runware.client import Starting

FACTS = Facts()
IMAGE = "https://images.example/lamp.png"


def price(model: str, *, seconds: float = 5, resolution: str | None = None, **changes: Any) -> float:
    width, height = map(int, changes.pop("size", "1280x720").split("x"))
    clip = Clip("a lamp", model, 0, width, height, 24, round(seconds * 24), changes.pop("sound", False), **changes)
    return clip_price(clip, FACTS.models.get(model), seconds=seconds, resolution=resolution)


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


@pytest.mark.parametrize(
    ("rates", "text", "usd"),
    [
        ([{"amount": 0.035, "per": "1000 characters"}], "a" * 90, 0.00315),
        ([{"amount": 0.00002, "per": "character"}], "a" * 90, 0.0018),
        ([{"amount": 0.00002, "per": "utf8 byte"}], "\u00e4" * 45, 0.0018),
        ([{"amount": 0.001, "per": "second"}], "one two three four five", 0.002),
        ([{"amount": 0.06, "per": "minute"}], "one two three four five", 0.002),
        ([{"amount": 0.15, "per": "output"}], "a" * 90, 0.15),
        ([{"amount": 0.15, "per": "output"}, {"amount": 0.2, "per": "output"}], "a", 0.2),
        ([{"amount": 3, "per": "million tokens"}], "a" * 50, 0.002),
        ([], "a" * 50, 0.002),
    ],
)
def test_price_of_a_voice_is_that_of_its_unit(rates: list[dict[str, Any]], text: str, usd: float) -> None:
    voice = Sound.ordered(speak(text))
    assert price_of(voice, {}, {"prices": rates}) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("rates", "usd"),
    [
        ([{"amount": 0.0039, "per": "minute"}], 0.00585),
        ([{"amount": 0.15, "per": "output"}], 0.15),
        ([{"amount": 0.001, "per": "second"}], 0.09),
        ([], 0.015),
    ],
)
def test_price_of_music_is_that_of_its_unit(rates: list[dict[str, Any]], usd: float) -> None:
    assert price_of(Sound.ordered(play(duration=90)), {}, {"prices": rates}) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("changes", "usd"),
    [
        ({"width": 512, "height": 512}, 0.045),
        ({"width": 128, "height": 72}, 0.045),
        ({"width": 1344, "height": 768}, 0.069),
        ({"width": None, "height": None}, 0.151),
        ({"width": None, "height": None, "resolution": "0.5K"}, 0.045),
        ({"width": None, "height": None, "resolution": "4K"}, 0.151),
    ],
)
def test_price_of_a_still_is_that_of_its_resolution(changes: dict[str, Any], usd: float) -> None:
    task = draw(**changes)
    assert price_of(Still.ordered(task), task, new_facts().find(STILL)) == usd
    assert price_of(Still.ordered(task), task, None) == 0.04


def test_price_of_a_still_grows_with_its_pixels_and_references() -> None:
    rates = [{"amount": 0.01, "per": "output", "label": "1024x1024"}, {"amount": 0.001, "per": "input image"}]
    given = {"referenceImages": ["https://images.example/lamp.png"] * 3}
    task = draw(width=2048, height=1024, inputs=given)
    assert price_of(Still.ordered(task), task, {"prices": rates}) == 0.023
    task = draw(width=512, height=512)
    assert price_of(Still.ordered(task), task, {"prices": rates}) == 0.01


async def test_price_per_second_is_of_clips_alone(start: Starting) -> None:
    rest = await start(facts=new_facts(), price=2)
    tasks = [speak(), play(), draw()]
    costs = [(await rest.ended(await rest.order(task)))["cost"] for task in tasks]
    assert costs == [round(len(WORDS) * 0.035 / 1000, 6), 0.00195, 0.045]
    assert rest.server.ledger.billed == pytest.approx(sum(costs))
    assert {task["model"] for task in tasks} == {VOICE, MUSIC, STILL}


async def test_changed_price_of_a_voice_is_billed(start: Starting) -> None:
    rest = await start(facts=new_facts())
    rest.server.change_model(VOICE, prices=[{"amount": 0.5, "per": "output"}])
    assert (await rest.ended(await rest.order(speak())))["cost"] == 0.5
