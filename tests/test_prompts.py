"""From a description to what is bought, and what the known models offer."""

from typing import Any

import pytest

from adreel.catalog import MODELS, check_model_limits, uses_legacy_frames
from adreel.errors import InputError
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription
from adreel.models.takes import ClipRequest
from adreel.purchase.request import clip_request, compose_prompt
from adreel.settings import Settings
from tests.factories import make_session, scene_data


def a_scene(scenario: str = "hook", **changes: Any) -> SceneDescription:
    return SceneDescription.model_validate(scene_data(scenario, **changes))


@pytest.mark.parametrize("model", MODELS)
def test_a_known_model_takes_what_it_offers(model: str) -> None:
    for seconds in MODELS[model].seconds:
        for size in MODELS[model].sizes or ("1x1",):
            check_model_limits(model, seconds, size, "hook")


@pytest.mark.parametrize("model", MODELS)
def test_a_known_model_names_what_it_offers_instead(model: str) -> None:
    offered = ", ".join(map(str, MODELS[model].seconds))
    with pytest.raises(InputError, match=rf"scene cta: duration 5\.5 .* \({model}\): choose {offered} seconds"):
        check_model_limits(model, 5.5, "1280x720", "cta")


@pytest.mark.parametrize("model", [model for model, known in MODELS.items() if known.sizes])
def test_a_model_with_fixed_sizes_names_them(model: str) -> None:
    known = MODELS[model]
    with pytest.raises(InputError, match=rf"scene cta: size 1x1 .*: choose {', '.join(known.sizes)}$"):
        check_model_limits(model, known.seconds[0], "1x1", "cta")


def test_a_model_that_is_not_listed_goes_through() -> None:
    check_model_limits("new:1@1", 5.5, "1x1", "hook")
    assert not uses_legacy_frames("new:1@1")


def test_a_prompt_has_the_picture_first_and_the_brand_last() -> None:
    session = make_session(category="lamps", brand_tone="calm", brand_colors=["amber", "#222"])
    scene = a_scene(camera_work="slow  push\nin", lighting="warm.", dialog_narration="Read on!")
    assert compose_prompt(session, scene).splitlines() == [
        "Hook scene of a video ad for Lamp, lamps.",
        "a lamp in the hook.",
        "Camera: slow push in.",
        "Lighting: warm.",
        "Narration: Read on!",
        "Tone: calm.",
        "Colours: amber, #222.",
    ]


@pytest.mark.parametrize("field", ["camera_work", "lighting", "audio_design", "background_music", "sound_effects"])
def test_everything_that_is_described_is_in_the_prompt(field: str) -> None:
    assert "a violet whisper" in compose_prompt(make_session(), a_scene(**{field: "a violet whisper"}))


def test_a_prompt_leaves_out_what_is_not_described() -> None:
    assert len(compose_prompt(make_session(), a_scene()).splitlines()) == 2


def test_a_request_takes_what_the_scene_says_over_the_settings() -> None:
    scene = a_scene(model="new:1@1", size="100x200", seed=7, duration=3.5)
    assert clip_request(make_session(), scene, Settings()) == ClipRequest(
        model="new:1@1",
        prompt=compose_prompt(make_session(), scene),
        duration=3.5,
        width=100,
        height=200,
        seed=7,
    )


def test_a_request_takes_the_settings_where_the_scene_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_MODEL", "new:2@2")
    monkeypatch.setenv("ADREEL_SIZE", "300x400")
    request = clip_request(make_session(), a_scene(), Settings())
    assert (request.model, request.width, request.height) == ("new:2@2", 300, 400)


def test_a_request_that_the_model_does_not_offer_names_the_scene() -> None:
    with pytest.raises(InputError, match="scene cta: duration 6 is not offered"):
        clip_request(make_session(), a_scene(Scenario.CTA, duration=6), Settings())


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("missing.png", "can't read first_frame 'missing.png': No such file"),
        ("/etc/passwd", "neither an https URL nor a PNG, JPEG or WebP image"),
        ("/", "'/' is not a file"),
        ("http://pictures.example/a", "can't read first_frame"),
        ("data:image/png;base64,AAAA", "can't read first_frame"),
        ("a\0.png", "can't read first_frame"),
    ],
)
def test_a_first_frame_that_cannot_be_sent_is_named_before_anything_is_bought(image: str, why: str) -> None:
    with pytest.raises(InputError, match=f"scene hook: .*{why}"):
        clip_request(make_session(), a_scene(first_frame=image), Settings())
