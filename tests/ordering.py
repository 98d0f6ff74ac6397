"""Requests of single scenes, their warnings and their refusals, for tests of the builder's rules."""

from dataclasses import replace
from typing import Any

import pytest

from adreel.catalog import Catalog, packaged
from adreel.errors import InputError
from adreel.models.sessions import SceneDescription
from adreel.models.takes import ClipRequest
from adreel.purchase.request import clip_request
from adreel.settings import Settings
from tests.factories import make_session, scene_data

KLING, KLING_25, KLING_26 = "klingai:kling-video@3-standard", "klingai:6@1", "klingai:kling-video@2.6-pro"
KLING_26_STANDARD, KLING_O1 = "klingai:kling-video@2.6-standard", "klingai:kling@o1"
SEEDANCE, SEEDANCE_FAST, SEEDANCE_25 = "bytedance:2@1", "bytedance:2@2", "bytedance:seedance@2.5"
VEO_FAST, VEO_LITE, GEMINI = "google:3@3", "google:veo@3.1-lite", "google:gemini@omni-flash-1.1"
HAILUO_23, PIXVERSE_55, VIDU_TURBO = "minimax:4@1", "pixverse:1@6", "vidu:4@2"
HAPPYHORSE, WAN_26, WAN_26_FLASH = "alibaba:happyhorse@1.1", "alibaba:wan@2.6", "alibaba:wan@2.6-flash"
FLUX, LTX = "bfl:flux@3-video", "lightricks:ltx@2.3"
LTX_25, GROK = "lightricks:ltx@2.5-pro", "xai:grok-imagine@video-1.5"
IMAGE = "https://pictures.example/lamp.png"


def order(
    scenario: str = "hook", *, facts: dict[str, Any] | None = None, catalog: Catalog | None = None, **changes: Any
) -> ClipRequest:
    """Return the request of a scene with these changes, in a session with these facts."""
    scene = SceneDescription.model_validate(scene_data(scenario, **changes))
    return clip_request(make_session(**facts or {}), scene, Settings(), catalog or packaged())


def shape(request: ClipRequest) -> str | None:
    """Return the size, the resolution, or None if a request has neither."""
    assert request.resolution is None or request.width is None
    return f"{request.width}x{request.height}" if request.width else request.resolution


def codes(request: ClipRequest) -> list[str]:
    return [warning.code for warning in request.warnings]


def refusal(**wishes: Any) -> dict[str, str]:
    """Return the sentences of a refusal, by field."""
    with pytest.raises(InputError, match=r"^scene hook: ") as caught:
        order(**wishes)
    assert all(sentence in str(caught.value) for sentence in caught.value.fields.values())
    return caught.value.fields


def changed(air: str, **facts: Any) -> Catalog:
    """Return the catalogue with other facts of one model."""
    catalog = packaged()
    model = type(catalog.models[air]).model_validate({**catalog.models[air].model_dump(), **facts})
    return replace(catalog, models={**catalog.models, air: model})
