"""From a session and the catalogue to the request: the rules of the builder, each by real models."""

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


def order(scenario: str = "hook", *, facts: dict[str, Any] | None = None, **changes: Any) -> ClipRequest:
    """Return the request of a scene with these changes, in a session with these facts."""
    scene = SceneDescription.model_validate(scene_data(scenario, **changes))
    return clip_request(make_session(**facts or {}), scene, Settings(), packaged())


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
        ("http://pictures.example/a", "can't read first_frame"),
        ("data:image/png;base64,AAAA", "can't read first_frame"),
        ("a\0.png", "can't read first_frame"),
    ],
)
def test_a_first_frame_that_cannot_be_sent_is_named_before_anything_is_bought(image: str, why: str) -> None:
    with pytest.raises(InputError, match=f"scene hook: .*{why}"):
        order(first_frame=image)
