"""The commands about voices, music and stills, as processes: models, voices, and input that leads nowhere."""

import pytest

from adreel.catalog import packaged
from tests.test_cli import adreel, answer

INWORLD = "inworld:tts@2"


def test_speech_models_are_listed_from_the_cheapest_on() -> None:
    shown = adreel("voices").stdout
    assert "The default is inworld:tts@2." in shown
    line = next(line for line in shown.splitlines() if line.startswith(INWORLD))
    assert " ".join(line.split()).endswith("0.0350 133 Sarah 0.5-1.5 live en, ja, zh, ko, ru, it, es, de and 6 more")
    found = answer("voices")
    prices = [model["usd_per_1000_characters"] for model in found["models"]]
    known = [price for price in prices if price is not None]
    assert prices == [*sorted(known), *[None] * (len(prices) - len(known))]
    assert found["as_of"] == str(packaged().as_of)


def test_a_language_chooses_models_and_voices() -> None:
    found = {model["model"]: model for model in answer("voices", "--language", "de")["models"]}
    assert found[INWORLD]["voices"] == {"de": ["Johanna", "Josef"]}
    assert found[INWORLD]["default_voice"] == "Johanna"
    assert "inworld:tts@1.5-max" not in found
    assert "not known whether they speak de" in adreel("voices", "--language", "de").stdout


def test_a_model_shows_all_its_voices() -> None:
    shown = adreel("voices", "--model", INWORLD).stdout
    assert "0.0350 USD for 1000 characters" in shown
    assert "ja        Asuka, Satoshi" in shown.splitlines()
    assert all(name in shown for names in packaged().audio[INWORLD].voices.values() for name in names)


def test_voices_that_are_ids_are_shown_by_name() -> None:
    assert "Selene" in adreel("voices", "--model", "fishaudio:s2.1@pro").stdout


def test_music_models_are_listed_with_their_price() -> None:
    shown = adreel("voices", "--music").stdout
    line = next(line for line in shown.splitlines() if line.startswith("runware:ace-step@v1.5-base"))
    assert line.split()[-3:] == ["0.0045", "live", "30-300"]
    music = {model["model"]: model["usd"] for model in answer("voices", "--music")["music"]}
    assert (music["runware:ace-step@v1.5-base"], music["minimax:music@2.6"]) == (0.0045, 0.15)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("--model", "inworld:tts"), "did you mean inworld:tts@2"),
        (("--model", "klingai:kling-video@3-standard"), "is no model of narrations or music"),
        (("--model", INWORLD, "--language", "pt"), "`adreel voices --language pt` lists those that do"),
        (("--language", "xx"), "give a code such as de or pt-BR"),
    ],
)
def test_what_leads_nowhere_is_an_error_with_a_way_out(arguments: tuple[str, ...], advice: str) -> None:
    ran = adreel("voices", *arguments)
    assert ran.returncode == 2
    assert advice in ran.stderr


def test_still_models_are_listed_with_the_price_of_a_still() -> None:
    shown = adreel("models", "--stills").stdout
    line = next(line for line in shown.splitlines() if line.startswith("meta:muse@image"))
    assert line.split()[-5:] == ["0.0100", "10", "2K,", "4", "sizes"]
    found = answer("models", "--stills")["models"]
    assert len(found) == sum(model.is_painter for model in packaged().images.values())
    assert {model["air"]: model["price"] for model in found}["google:nano-banana@2-lite"] == 0.0336


@pytest.mark.parametrize(
    ("air", "facts"),
    [
        ("runware:400@2", ("FLUX.2 [klein] 9B", "third parties only", "0.0059")),
        (INWORLD, ("133 voices", "3.5e-05", "a choice of adreel", "en: Sarah")),
        ("runware:ace-step@v1.5-base", ("vocalLanguage: unknown", "min: 30", "0.00015")),
    ],
)
def test_a_model_of_an_addition_is_shown_with_its_sources(air: str, facts: tuple[str, ...]) -> None:
    shown = adreel("models", "show", air).stdout
    assert [fact for fact in facts if fact not in shown] == []
    assert answer("models", "show", air)["air"] == air
