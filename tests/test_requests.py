"""From a session and the catalogue to the request: the rules of the builder, each by real models."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adreel.catalog import packaged
from adreel.errors import InputError
from adreel.models.sessions import SceneDescription
from adreel.models.takes import ClipRequest
from adreel.purchase.prompt import compose_prompt
from adreel.purchase.request import clip_request
from adreel.settings import Settings
from tests.factories import make_session, scene_data
from tests.ordering import (
    GROK,
    HAILUO_23,
    HAPPYHORSE,
    IMAGE,
    KLING,
    KLING_25,
    KLING_26,
    KLING_26_STANDARD,
    KLING_O1,
    LTX,
    LTX_25,
    PIXVERSE_55,
    SEEDANCE,
    SEEDANCE_25,
    VEO_FAST,
    VEO_LITE,
    VIDU_TURBO,
    WAN_26,
    WAN_26_FLASH,
    changed,
    codes,
    order,
    refusal,
    shape,
)


def test_a_request_takes_what_the_scene_says_over_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_MODEL", "klingai:6@1")
    monkeypatch.setenv("ADREEL_SIZE", "1280x720")
    request = order(model="bytedance:2@2", size="100x200", seed=7, duration=3.5)
    assert request == ClipRequest(
        model="bytedance:2@2",
        prompt=compose_prompt(make_session(), SceneDescription.model_validate(scene_data())),
        duration=3.5,
        width=100,
        height=200,
        seed=7,
    )


def test_a_request_takes_the_settings_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
    monkeypatch.setenv("ADREEL_SIZE", "300x400")
    request = order()
    assert (request.model, request.width, request.height) == ("bytedance:2@2", 300, 400)


def test_a_request_that_the_model_does_not_offer_names_the_scene() -> None:
    with pytest.raises(InputError, match=r"scene cta: duration 6 is not offered by KlingAI 2\.5 Turbo Pro") as caught:
        order("cta", model="klingai:6@1", duration=6)
    assert list(caught.value.fields) == ["duration"]


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("missing.png", "can't read first_frame 'missing.png': No such file"),
        ("/etc/passwd", "neither an https URL nor a PNG, JPEG or WebP image"),
        ("/", "'/' is not a file"),
        ("http://pictures.example/a", "is no https URL: give one"),
        ("data:image/png;base64,AAAA", "is no https URL: give one"),
        ("a\0.png", "can't read first_frame"),
    ],
)
def test_a_first_frame_that_cannot_be_sent_is_named_before_anything_is_bought(image: str, why: str) -> None:
    with pytest.raises(InputError, match=f"scene hook: .*{why}"):
        order(first_frame=image)


# Session and scene


def test_what_a_scene_does_not_say_the_session_says() -> None:
    facts = {"model": SEEDANCE_25, "aspect": "9:16", "resolution": "480p", "sound": True, "negative_prompt": "text"}
    request = order(facts=facts)
    assert (request.model, shape(request), request.sound) == (SEEDANCE_25, "480x854", True)
    assert "Avoid: text." in request.prompt
    assert shape(order(facts=facts, resolution="1080p")) == "1080x1920"
    assert order(facts=facts, sound=False).parameters == {"settings": {"audio": False}}


def test_a_size_and_an_aspect_of_different_places_do_not_meet() -> None:
    assert shape(order(facts={"size": "1280x720", "model": KLING}, aspect="9:16")) == "720x1280"
    assert shape(order(facts={"aspect": "9:16", "resolution": "720p", "model": KLING}, size="960x960")) == "960x960"


def test_the_settings_of_a_session_are_not_changed_by_the_requests_of_its_scenes() -> None:
    session = make_session(
        model=VEO_FAST, settings={"google": {"enhancePrompt": True}, "providerSettings": {"google": {}}}
    )
    before = session.model_dump()
    for sound in (True, False):
        scene = SceneDescription.model_validate(scene_data(duration=6, sound=sound))
        request = clip_request(session, scene, Settings(), packaged())
        assert request.parameters["providerSettings"]["google"]["generateAudio"] is sound
    assert session.model_dump() == before


# Seed and negative prompt


def test_a_seed_is_dropped_with_a_warning_where_there_is_none() -> None:
    assert order(model=SEEDANCE, seed=7).seed == 7
    request = order(model=KLING, seed=7)
    assert (request.seed, codes(request)) == (None, ["noSeed"])
    told = [warning.message for warning in order(model=VIDU_TURBO, seed=7).warnings if warning.code == "noSeed"]
    assert told == ["Vidu Q3 Turbo (vidu:4@2) is not known to have a seed: it is left out"]


def test_a_negative_prompt_becomes_words_where_there_is_none() -> None:
    request = order(model=KLING, negative_prompt="text, logos")
    assert (request.negative_prompt, "Avoid" in request.prompt) == ("text, logos", False)
    request = order(model=SEEDANCE, negative_prompt="text, logos")
    assert (request.negative_prompt, "Avoid: text, logos." in request.prompt) == (None, True)


# Sound


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (KLING, {"providerSettings": {"klingai": {"sound": True}}}),
        (VEO_LITE, {"providerSettings": {"google": {"generateAudio": True}}}),
        (SEEDANCE_25, {"settings": {"audio": True}}),
    ],
)
@pytest.mark.parametrize("sound", [True, False, None])
def test_sound_is_the_switch_of_the_model(model: str, expected: dict[str, Any], sound: bool | None) -> None:
    request = order(model=model, sound=sound, duration=6)
    switched = str(expected).replace("True", str(sound))
    assert (str(request.parameters), request.warnings) == (switched if sound is not None else "{}", ())


def test_sound_of_a_silent_model_is_refused_and_silence_is_not() -> None:
    told = refusal(model=KLING_25, sound=True)["sound"]
    assert "makes no sound: leave `sound` out; try " in told
    assert order(model=KLING_25, sound=False).warnings == ()


def test_a_model_whose_switch_is_not_known_gets_none_and_a_warning() -> None:
    request = order(model=WAN_26, sound=True)
    assert (request.parameters, codes(request)) == ({}, ["notKnown"])


@pytest.mark.parametrize(("model", "sound"), [(KLING_25, None), (KLING, False)])
def test_a_silent_clip_leaves_words_about_sound_out_and_says_so_once(model: str, sound: bool | None) -> None:
    request = order(model=model, sound=sound, dialog_narration="Read on.", background_music="piano")
    assert codes(request) == ["silent"]
    assert "Read on" not in request.prompt
    assert "piano" not in request.prompt
    assert order(model=model, sound=sound).warnings == ()


def test_sound_that_is_described_but_not_asked_for_is_a_warning_where_the_default_is_not_known() -> None:
    warnings = order(model=KLING, dialog_narration="Read on.").warnings
    assert [warning.message for warning in warnings] == [
        f"it is not known whether Kling VIDEO 3.0 Standard ({KLING}) makes sound by itself: say `sound: true`"
    ]
    assert order(model=SEEDANCE_25, dialog_narration="Read on.").warnings == ()
    silent = changed(KLING, sound={"parameter": "providerSettings.klingai.sound", "default": False})
    request = order(model=KLING, dialog_narration="Read on.", catalog=silent)
    assert (codes(request), "Read on" in request.prompt) == (["silent"], False)
    assert "makes no sound by itself: " in request.warnings[0].message


def test_settings_that_contradict_sound_are_refused() -> None:
    settings = {"providerSettings": {"klingai": {"sound": False}}}
    assert refusal(model=KLING, sound=True, settings=settings) == {
        "settings": "settings contradict sound: leave sound out"
    }
    assert order(model=KLING, sound=False, settings=settings).parameters == settings


# Settings


def test_settings_go_where_the_model_takes_them() -> None:
    assert order(model=LTX, settings={"fps": 24, "outputQuality": 90}).parameters == {"fps": 24, "outputQuality": 90}
    assert order(model=SEEDANCE_25, settings={"style": "x", "settings": {"depth": 2}}).parameters == {
        "settings": {"style": "x", "depth": 2}
    }
    assert order(model=KLING, settings={"style": "x", "providerSettings": {"klingai": {"depth": 2}}}).parameters == {
        "providerSettings": {"klingai": {"style": "x", "depth": 2}}
    }


@pytest.mark.parametrize("name", ["model", "taskUUID", "seed", "inputs", "width", "numberResults", "webhookURL"])
def test_settings_can_t_replace_a_parameter_of_adreel(name: str) -> None:
    assert refusal(model=KLING, settings={name: 1}) == {
        "settings": f"settings.{name} would replace a parameter of adreel's own: leave it out"
    }


@pytest.mark.parametrize(
    ("model", "settings", "told"),
    [
        (KLING, {"fps": 24}, "has no parameter fps; try MiniMax Hailuo 2.3 Fast (minimax:4@2) or "),
        (KLING, {"settings": {"x": 1}}, "takes no settings: its own settings go into providerSettings"),
        (KLING, {"providerSettings": 7}, "settings.providerSettings is not an object"),
        (KLING, {"providerSettings": {"klingai": 7}}, "settings.klingai is not an object"),
        (HAPPYHORSE, {"audio": True}, "has no settings of its own: audio"),
    ],
)
def test_settings_that_a_model_does_not_take_are_named(model: str, settings: dict[str, Any], told: str) -> None:
    assert told in refusal(model=model, settings=settings, sound=True if model == KLING else None)["settings"]


# Frames and references


def test_frames_and_references_are_named_in_the_request() -> None:
    request = order(model=KLING, first_frame=IMAGE, last_frame=f"{IMAGE}?2")
    assert (request.first_frame, request.last_frame, request.warnings) == (IMAGE, f"{IMAGE}?2", ())
    assert order(model=SEEDANCE_25, references=[IMAGE] * 30).references == [IMAGE] * 30


def test_frames_and_references_that_are_not_offered_are_refused() -> None:
    told = refusal(model=SEEDANCE_25, first_frame=IMAGE, references=[IMAGE])["references"]
    assert "takes a first or last frame or references, not both; try " in told
    assert "it takes 1; try " in refusal(model=KLING_26, references=[IMAGE] * 2)["references"]
    assert "needs an image to start from: give a first_frame; try " in refusal(model=WAN_26_FLASH)["first_frame"]
    catalog = changed(KLING, frames={"max": 1, "positions": ("first",)})
    told = refusal(model=KLING, last_frame=IMAGE, catalog=catalog)["last_frame"]
    assert told.startswith("Kling VIDEO 3.0 Standard (klingai:kling-video@3-standard) has no last frame; try ")


def test_frames_and_references_of_which_nothing_is_known_are_sent_with_a_warning() -> None:
    request = order(model=LTX, first_frame=IMAGE, references=[IMAGE])
    assert (request.first_frame, request.references, codes(request)) == (IMAGE, [IMAGE], ["notKnown"] * 3)


# Durations


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"model": KLING, "duration": 5.5}, "it offers whole seconds; try "),
        ({"model": VEO_FAST, "duration": 5}, "it offers 4, 6, 7, 8 seconds; try "),
        ({"model": SEEDANCE_25, "duration": 31}, "it offers 4 to 30 seconds; "),
        (
            {"model": HAILUO_23, "duration": 10, "resolution": "1080p"},
            "at 1920x1080: it offers 6 seconds; try Wan2.6 (alibaba:wan@2.6) or ",
        ),
        ({"model": PIXVERSE_55, "duration": 10, "size": "1080x1080"}, "at 1080x1080: it offers 5, 8 seconds; "),
        ({"model": KLING_O1, "duration": 7, "first_frame": IMAGE}, "next to a frame: it offers 5, 10 seconds; try "),
    ],
)
def test_a_duration_that_is_not_offered_names_those_that_are(wishes: dict[str, Any], told: str) -> None:
    fields = refusal(**wishes)
    assert list(fields) == ["duration"]
    assert f"duration {wishes['duration']:g} is not offered by" in fields["duration"]
    assert told in fields["duration"]


def test_a_duration_is_possible_at_the_size_that_allows_it() -> None:
    assert shape(order(model=HAILUO_23, duration=10)) == "1366x768"
    assert order(model=KLING_O1, duration=7).duration == 7


def test_a_model_without_a_duration_gets_none() -> None:
    request = order(model=KLING_26_STANDARD)
    assert (request.duration, codes(request)) == (None, ["noDuration"])


# Prompt


def test_a_prompt_that_is_too_long_loses_facts_of_the_product_first() -> None:
    facts = {"main_benefit": "a" * 500, "target_audience": "b" * 500, "brand_tone": "calm"}
    prompt = order(model=KLING_26, visual_description="c" * 1900, facts=facts).prompt
    assert len(prompt) <= 2500
    assert ("c" * 1900 in prompt, "calm" in prompt, "bbb" in prompt) == (True, True, False)


def test_a_description_that_is_too_long_is_refused() -> None:
    told = refusal(model=KLING_26, visual_description="c" * 2600)["visual_description"]
    assert "characters, Kling VIDEO 2.6 Pro (klingai:kling-video@2.6-pro) takes 2500: shorten it; try " in told


def test_a_long_prompt_is_a_warning_where_the_limit_is_not_known() -> None:
    assert codes(order(model=KLING, visual_description="c" * 2400)) == []
    assert codes(order(model=KLING, visual_description="c" * 2500)) == ["notKnown"]
    assert codes(order(model=SEEDANCE_25, visual_description="c" * 2500)) == []


# Models


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            "bytedance:seedance@1.5-pro",
            "Seedance 1.5 Pro (bytedance:seedance@1.5-pro) is no longer offered by Runware since 2026-11-11: use"
            " Seedance 2.5 (bytedance:seedance@2.5)",
        ),
        (
            "klingai:kling-video@3-standart",
            "the model 'klingai:kling-video@3-standart' is not in the catalogue of 2026-11-25: did you mean Kling VIDEO"
            " 3.0 Standard (klingai:kling-video@3-standard) or ",
        ),
        ("zzz:1@1", "the model 'zzz:1@1' is not in the catalogue of 2026-11-25: `adreel models refresh` reads"),
        (
            "runway:aleph@2.0",
            "Runway Aleph 2.0 (runway:aleph@2.0) edits videos, and renders no scenes from words: use ",
        ),
        ("sync:3@0", "animates faces, and renders no scenes from words: use Seedance 1.0 Pro Fast (bytedance:2@2) or "),
    ],
)
def test_a_model_that_can_t_be_ordered_is_named_with_others(model: str, told: str) -> None:
    assert told in refusal(model=model)["model"]


def test_a_model_that_is_gone_is_named_with_similar_ones() -> None:
    for air, gone in packaged().gone.items():
        told = refusal(model=air)["model"]
        assert told.startswith(f"the model {air!r} is no longer offered by Runware since {gone.gone_by}: use ")


def test_a_deprecated_model_is_ordered_with_a_warning_until_its_end() -> None:
    today = datetime.now(UTC).date()
    facts = {"status": "deprecated", "replaced_by": SEEDANCE_25}
    request = order(model=KLING, catalog=changed(KLING, **facts, deactivates_on=today + timedelta(1)))
    assert [warning.message for warning in request.warnings] == [
        f"Kling VIDEO 3.0 Standard ({KLING}) is deprecated and ends on {today + timedelta(1)}: use Seedance 2.5"
        f" ({SEEDANCE_25})"
    ]
    assert (
        "is no longer offered" in refusal(model=KLING, catalog=changed(KLING, **facts, deactivates_on=today))["model"]
    )


@pytest.mark.parametrize(
    "wishes",
    [
        {"model": HAPPYHORSE, "duration": 20},
        {"model": KLING_O1, "size": "1280x720"},
        {"model": GROK, "last_frame": IMAGE, "duration": 5},
        {"model": LTX_25, "references": [IMAGE] * 2, "duration": 6},
    ],
)
def test_what_only_third_parties_say_is_a_warning(wishes: dict[str, Any]) -> None:
    request = order(**wishes)
    assert "notOffered" in codes(request)
    assert all(getattr(request, name, None) == value for name, value in wishes.items() if name != "size")


def test_unchecked_sends_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_CATALOG", "unchecked")
    request = order(model=KLING, duration=5.5, size="64x64", seed=7, first_frame=IMAGE, settings={"fps": 24})
    assert (request.duration, shape(request), request.seed) == (5.5, "64x64", 7)
    assert request.parameters == {"fps": 24}
    assert codes(request) == ["notOffered"] * 3
    request = order(model="zzz:1@1", seed=7, negative_prompt="text", sound=True, aspect="9:16")
    assert (request.model, request.seed, request.negative_prompt, shape(request)) == ("zzz:1@1", 7, "text", "720x1280")
    assert codes(request)[0] == "uncheckedModel"
    assert order(model="bytedance:seedance@1.5-pro", duration=5).model == "bytedance:seedance@1.5-pro"


def test_every_wrong_field_is_named_at_once() -> None:
    wrong = refusal(model=KLING, duration=5.5, resolution="1080p", settings={"fps": 1}, first_frame="gone.png")
    assert sorted(wrong) == ["duration", "first_frame", "resolution", "settings"]
