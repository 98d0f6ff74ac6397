"""The models over HTTP: what each offers and costs, and which fit."""

from typing import Any

import httpx
import pytest

from adreel.catalog import packaged
from adreel.client import Client


def listed(api: httpx.Client, **asked: Any) -> dict[str, dict[str, Any]]:
    answer = api.get("/api/models", params=asked)
    assert answer.status_code == 200, answer.text
    return {each["model"]: each for each in answer.json()["models"]}


def test_all_models_that_can_be_ordered_are_listed_the_cheapest_first(api: httpx.Client) -> None:
    found = listed(api)
    assert set(found) == {model.air for model in packaged().usable()}
    prices = [each["usd_per_second"] for each in found.values()]
    known = [price for price in prices if price is not None]
    assert prices == [*sorted(known), *[None] * (len(prices) - len(known))]
    kling = found["klingai:kling-video@3-pro"]
    assert (kling["name"], kling["durations"], kling["sound"]) == ("Kling VIDEO 3.0 Pro", "3 to 15 seconds", True)
    assert (kling["usd_per_second"], kling["priced_on"]) == (0.112, "2026-09-27")
    assert api.get("/api/models").json()["as_of"] == packaged().as_of.isoformat()


def test_only_models_that_are_known_to_offer_what_is_asked_for_are_listed(api: httpx.Client) -> None:
    framed = listed(api, first_frame=True, last_frame=True, sound=True, aspect="9:16", max_price=0.2)
    assert "klingai:kling-video@3-pro" in framed
    for each in framed.values():
        assert (each["first_frame"], each["last_frame"], each["sound"]) == (True, True, True)
        assert "9:16" in each["aspects"]
        assert each["usd_per_second"] <= 0.2
    assert 0 < len(listed(api, references=True)) < len(listed(api))
    assert listed(api, max_price=0.001) == {}


def test_prices_are_those_with_the_sound_that_is_asked_for(api: httpx.Client) -> None:
    prices = [listed(api, sound=sound)["klingai:kling-video@3-pro"]["usd_per_second"] for sound in (True, False)]
    assert prices == [0.168, 0.112]


@pytest.mark.parametrize("asked", [{"aspect": "7:3"}, {"max_price": "-1"}, {"max_price": "nan"}, {"sound": "loud"}])
def test_a_wrong_wish_is_named(api: httpx.Client, asked: dict[str, str]) -> None:
    answer = api.get("/api/models", params=asked)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, next(iter(asked)))


def test_the_client_lists_models(api: httpx.Client) -> None:
    with Client(str(api.base_url)) as client:
        found = client.models(first_frame=True, sound=False, max_price=0.1)
        assert found.models
        assert all(model.first_frame for model in found.models)
        assert len(client.models().models) == len(packaged().usable())


def test_the_models_of_narrations_and_music_are_listed_the_cheapest_first(api: httpx.Client) -> None:
    found = api.get("/api/voices").json()
    models = {each["model"]: each for each in found["models"]}
    inworld = models["inworld:tts@2"]
    assert (inworld["default_voice"], inworld["speeds"], inworld["most_characters"]) == ("Sarah", [0.5, 1.5], 2000)
    assert (inworld["usd_per_1000_characters"], inworld["priced_on"]) == (0.035, "2026-10-01")
    assert len(inworld["voices"]["en"]) == 95
    assert [each["usd"] for each in found["music"]] == sorted(each["usd"] for each in found["music"])
    assert found["as_of"] == packaged().as_of.isoformat()


def test_voices_are_chosen_by_language_and_model(api: httpx.Client) -> None:
    found = api.get("/api/voices", params={"language": "de", "model": "inworld:tts@2"}).json()
    assert [(each["model"], each["voices"]) for each in found["models"]] == [
        ("inworld:tts@2", {"de": ["Johanna", "Josef"]})
    ]
    assert found["music"] == []
    assert api.get("/api/voices", params={"model": "no:such@1"}).json()["models"] == []


def test_the_client_lists_voices(api: httpx.Client) -> None:
    with Client(str(api.base_url)) as client:
        found = client.voices(language="ja")
    assert "Asuka" in {name for model in found.models for name in model.voices["ja"]}
