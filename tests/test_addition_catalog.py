"""The models of narrations, music and stills in the catalogue: their facts, and what a refresh leaves and changes."""

import json
from dataclasses import replace
from datetime import date
from importlib.resources import files
from typing import Any

import pytest

from adreel.catalog import Catalog, packaged
from adreel.catalog.additions import AudioModel, base_language
from adreel.catalog.published import parse_listing
from adreel.catalog.updates import changes, update_addition
from adreel.settings import Settings

DOCUMENT: dict[str, Any] = json.loads((files("adreel.catalog") / "models.json").read_text(encoding="utf-8"))
AUDIO: dict[str, dict[str, Any]] = DOCUMENT["audio"]
IMAGES: dict[str, dict[str, Any]] = DOCUMENT["images"]

REQUIRED = {
    "alibaba:qwen@3-tts-1.7b-base": {"inputs", "speech"},
    "alibaba:qwen@3-tts-1.7b-customvoice": {"speech"},
    "alibaba:qwen@3-tts-1.7b-voicedesign": {"positivePrompt", "speech"},
    "bytedance:seed-audio@1.0": {"positivePrompt"},
    "fishaudio:s2.1@pro": {"speech"},
    "google:gemini@3.1-flash-tts": {"speech"},
    "inworld:tts@1.5-max": {"speech"},
    "inworld:tts@1.5-mini": {"speech"},
    "inworld:tts@2": {"speech"},
    "minimax:music@2.6": {"positivePrompt"},
    "minimax:music@cover": {"inputs", "positivePrompt"},
    "minimax:speech@2.8": {"speech"},
    "mirelo:1@1": set(),
    "runware:ace-step@v1.5-base": {"positivePrompt"},
    "runware:ace-step@v1.5-turbo": {"positivePrompt"},
    "runware:ace-step@v1.5-xl-base": {"positivePrompt"},
    "runware:ace-step@v1.5-xl-sft": {"positivePrompt"},
    "runware:ace-step@v1.5-xl-turbo": {"positivePrompt"},
    "runware:dia2@2b": {"speech"},
    "xai:tts@0": {"speech"},
}
"""Parameters without which a request is refused, by the types of Runware's SDK and its documentation."""
VOICES = {
    "alibaba:qwen@3-tts-1.7b-customvoice": 9,
    "fishaudio:s2.1@pro": 8,
    "google:gemini@3.1-flash-tts": 30,
    "inworld:tts@1.5-max": 73,
    "inworld:tts@1.5-mini": 73,
    "inworld:tts@2": 133,
    "minimax:speech@2.8": 332,
    "xai:tts@0": 27,
}
RATES = {
    ("alibaba:qwen@3-tts-1.7b-customvoice", 1.5e-05, "character"),
    ("bytedance:seed-audio@1.0", 0.00263333, "second"),
    ("fishaudio:s2.1@pro", 1.5e-05, "utf8 byte"),
    ("inworld:tts@1.5-max", 5e-05, "character"),
    ("inworld:tts@1.5-mini", 2.5e-05, "character"),
    ("inworld:tts@2", 3.5e-05, "character"),
    ("minimax:music@2.6", 0.15, "output"),
    ("minimax:speech@2.8", 0.0001, "character"),
    ("minimax:speech@2.8", 6e-05, "character"),
    ("runware:ace-step@v1.5-base", 0.00015, "second"),
    ("runware:ace-step@v1.5-turbo", 0.0001, "second"),
    ("runware:ace-step@v1.5-xl-base", 0.0039, "minute"),
    ("xai:tts@0", 1.5e-05, "character"),
}
IMAGE_PRICES = {
    "alibaba:qwen-image@2.0": {0.035},
    "google:4@2": {0.138, 0.244},
    "google:4@3": {0.04657, 0.06895, 0.10255, 0.15295, 0.00028},
    "google:nano-banana@2-lite": {0.0336},
    "klingai:kling-image@3": {0.028},
    "krea:krea@2-large": {0.06},
    "meta:muse@image": {0.01},
    "xai:grok-imagine@image": {0.02},
}


def test_what_each_audio_model_needs_is_known() -> None:
    assert {air: set(facts["required"]) for air, facts in AUDIO.items()} == REQUIRED


def test_each_audio_model_offers_flac() -> None:
    assert [air for air, facts in AUDIO.items() if "FLAC" not in facts["formats"]] == []


def test_the_voices_are_those_of_the_documentation() -> None:
    found = {
        air: [name for names in facts["voices"].values() for name in names]
        for air, facts in AUDIO.items()
        if "voices" in facts
    }
    assert {air: len(names) for air, names in found.items()} == VOICES
    assert {air for air, names in found.items() if len(set(names)) != len(names)} == set()
    inworld = AUDIO["inworld:tts@2"]["voices"]
    assert (inworld["ja"], inworld["zh"]) == (["Asuka", "Satoshi"], ["Yichen", "Xiaoyin", "Xinyi", "Jing"])
    assert (inworld["en"][0], inworld["en"][-1], len(inworld["en"])) == ("Loretta", "Sophie", 95)


def test_the_rates_are_those_of_runwares_pages() -> None:
    found = {(air, rate["amount"], rate["per"]) for air, facts in AUDIO.items() for rate in facts.get("prices", ())}
    assert found >= RATES


def test_image_prices_are_those_of_runwares_pages() -> None:
    found = {air: {rate["amount"] for rate in IMAGES[air]["prices"]} for air in IMAGE_PRICES}
    assert found == IMAGE_PRICES


def test_prices_have_a_date_and_a_source() -> None:
    priced = [(air, facts) for air, facts in (AUDIO | IMAGES).items() if "prices" in facts]
    assert [air for air, facts in priced if "prices" not in facts["evidence"] or "priced_on" not in facts] == []


def test_there_are_20_audio_models_and_91_image_models() -> None:
    assert (len(packaged().audio), len(packaged().images)) == (20, 91)


def test_the_default_models_can_do_their_work() -> None:
    settings, catalog = Settings(), packaged()
    assert catalog.audio[settings.voice_model].is_narrator
    assert catalog.audio[settings.music_model].is_composer
    still = catalog.images[settings.still_model]
    assert still.is_painter
    assert still.references
    assert still.size_with_references == "allowed"


@pytest.mark.parametrize(
    ("language", "voice"), [("en", "Sarah"), ("de-AT", "Johanna"), ("zh-CN", "Yichen"), ("pt", None)]
)
def test_each_language_has_a_default_voice(language: str, voice: str | None) -> None:
    assert packaged().audio["inworld:tts@2"].default_voice(language) == voice


@pytest.mark.parametrize(
    ("air", "language", "value"),
    [
        ("inworld:tts@2", "de-AT", "de"),
        ("xai:tts@0", "pt", "pt-BR"),
        ("xai:tts@0", "es-es", "es-ES"),
        ("google:gemini@3.1-flash-tts", "zh", "cmn-CN"),
        ("google:gemini@3.1-flash-tts", "en-GB", "en-GB"),
        ("alibaba:qwen@3-tts-1.7b-customvoice", "de", "German"),
        ("alibaba:qwen@3-tts-1.7b-customvoice", "pl", None),
        ("minimax:speech@2.8", "de", None),
    ],
)
def test_languages_are_named_as_the_model_names_them(air: str, language: str, value: str | None) -> None:
    assert packaged().audio[air].language_value(language) == value


def test_parts_of_languages_count_as_their_language() -> None:
    assert [base_language(code) for code in ("de-AT", "cmn-CN", "nb-NO", "EN")] == ["de", "zh", "no", "en"]


def test_a_document_holds_all_models() -> None:
    assert Catalog.parse(packaged().document()) == packaged()


def test_a_stored_catalogue_of_an_earlier_version_gets_the_packaged_models() -> None:
    document = packaged().document()
    del document["audio"], document["images"]
    catalog = Catalog.parse(document)
    assert (catalog.audio, catalog.images) == (packaged().audio, packaged().images)


def test_a_default_voice_that_the_model_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="no voices of it: Bob"):
        AudioModel(air="a:b@1", slug="b", name="B", kind="speech", default_voices={"en": "Bob"})


def test_a_refresh_reads_state_and_prices_from_the_listing() -> None:
    model, today = packaged().audio["inworld:tts@2"], date(2026, 12, 1)
    row = {"air": model.air, "status": "deprecated", "pricingRates": [{"amount": 4e-05, "unit": "character"}]}
    changed = update_addition(model, parse_listing([row])[model.air], today)
    assert (changed.status, changed.priced_on, changed.evidence_of("prices")) == ("deprecated", today, "content_api")
    assert [(rate.amount, rate.per) for rate in changed.prices] == [(4e-05, "character")]
    assert (changed.voices, changed.evidence_of("voices")) == (model.voices, model.evidence_of("voices"))


def test_a_refresh_tells_what_it_changed() -> None:
    old = packaged()
    model = old.audio["inworld:tts@2"].model_copy(update={"status": "deprecated", "prices": ()})
    found = changes(old, replace(old, audio={**old.audio, model.air: model}))
    assert found.status == {model.air: "live -> deprecated"}
    assert found.prices == {model.air: "any: 3.5e-05 is gone"}


def test_a_refresh_without_a_row_changes_nothing() -> None:
    model = packaged().images["google:4@3"]
    assert update_addition(model, None, date(2026, 12, 1)) is model
