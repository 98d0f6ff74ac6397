"""From a description and the facts of its product to the prompt."""

from typing import Any

import pytest

from adreel.models.sessions import SceneDescription
from adreel.purchase.prompt import SOUND_FIELDS, compose_prompt, has_facts
from tests.factories import make_session, scene_data


def a_scene(scenario: str = "hook", **changes: Any) -> SceneDescription:
    return SceneDescription.model_validate(scene_data(scenario, **changes))


def test_a_prompt_has_the_picture_first_and_the_product_last() -> None:
    session = make_session(
        category="lamps",
        brand_tone="calm",
        brand_colors=["amber", "#222"],
        main_benefit="light on the page",
        target_audience="people who read in bed",
        target_platform="YouTube",
        website_url="https://lamp.example",
    )
    scene = a_scene("cta", camera_work="slow  push\nin", lighting="warm.", dialog_narration="Read on!")
    assert compose_prompt(session, scene).splitlines() == [
        "CTA scene of a video ad for Lamp, lamps.",
        "a lamp in the cta.",
        "Camera: slow push in.",
        "Lighting: warm.",
        "Narration: Read on!",
        "Tone: calm.",
        "Colours: amber, #222.",
        "The viewer should feel the benefit: light on the page.",
        "Casting and setting suit the audience: people who read in bed.",
        "Framed for YouTube.",
        "The closing picture leaves room for the address https://lamp.example",
    ]


@pytest.mark.parametrize("scenario", ["hook", "cta"])
@pytest.mark.parametrize("changed", ["product_name", "category", "brand_tone", "main_benefit", "target_platform"])
def test_a_prompt_tells_whether_it_was_made_from_the_present_facts(scenario: str, changed: str) -> None:
    session = make_session(brand_tone="calm", main_benefit="light", website_url="https://lamp.example")
    scene = a_scene(scenario, camera_work="slow", dialog_narration="Read on!", lighting="Tone: calm")
    for prompt in (
        compose_prompt(session, scene),
        compose_prompt(session, scene, is_silent=True, avoid="a moth"),
    ):
        assert has_facts(prompt, session, scene)
        for text in ("violet", ""):
            other = session.model_copy(update={changed: text})
            assert has_facts(prompt, other, scene) == (getattr(session, changed) == text)


@pytest.mark.parametrize("field", ["camera_work", "lighting", *SOUND_FIELDS])
def test_everything_that_is_described_is_in_the_prompt(field: str) -> None:
    assert "a violet whisper" in compose_prompt(make_session(), a_scene(**{field: "a violet whisper"}))


@pytest.mark.parametrize("field", SOUND_FIELDS)
def test_a_silent_clip_gets_no_words_about_sound(field: str) -> None:
    scene = a_scene(**{field: "a violet whisper"}, lighting="a violet haze")
    prompt = compose_prompt(make_session(), scene, is_silent=True)
    assert ("a violet whisper" in prompt, "a violet haze" in prompt) == (False, True)


@pytest.mark.parametrize("scenario", ["hook", "problem", "solution"])
def test_only_the_last_scene_makes_room_for_the_address(scenario: str) -> None:
    session = make_session(website_url="https://lamp.example")
    assert "https://lamp.example" not in compose_prompt(session, a_scene(scenario))
    assert "https://lamp.example" in compose_prompt(session, a_scene("cta"))


def test_a_prompt_leaves_out_what_is_not_described() -> None:
    assert len(compose_prompt(make_session(), a_scene()).splitlines()) == 2


def test_what_must_not_be_seen_follows_the_scene() -> None:
    session = make_session(brand_tone="calm")
    lines = compose_prompt(session, a_scene(), avoid="text, logos").splitlines()
    assert lines[-2:] == ["Avoid: text, logos.", "Tone: calm."]


def test_a_prompt_within_its_limit_keeps_the_scene_and_loses_the_last_facts() -> None:
    session = make_session(brand_tone="calm", main_benefit="light", target_audience="readers", target_platform="TV")
    whole = compose_prompt(session, a_scene())
    cut = compose_prompt(session, a_scene(), limit=len(whole) - 1)
    assert cut.splitlines() == whole.splitlines()[:-1]
    assert compose_prompt(session, a_scene(), limit=10) == compose_prompt(make_session(), a_scene())
