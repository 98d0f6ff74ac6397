"""Every model of the catalogue: the emulator accepts a request, or it is refused before it is sent."""

import re
import time
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from adreel.catalog import packaged
from adreel.catalog.facts import Duration, VideoModel
from adreel.emulator.faults import Faults
from adreel.emulator.handler import RenderSettings, TaskHandler
from adreel.emulator.ledger import Ledger
from adreel.emulator.replies import Item
from adreel.errors import InputError
from adreel.models.takes import ClipRequest
from adreel.purchase.prompt import SOUND_FIELDS
from adreel.purchase.request import clip_request
from adreel.runware.connection import inference
from adreel.settings import Settings
from tests.factories import make_session, scene_data

FIRST, LAST, REFERENCE = (f"https://pictures.example/{name}.png" for name in ("first", "last", "reference"))
KINDS: dict[str, dict[str, Any]] = {
    "text": {},
    "first frame": {"first_frame": FIRST},
    "first and last frame": {"first_frame": FIRST, "last_frame": LAST},
    "references": {"references": [REFERENCE]},
    "sound on": {"sound": True},
    "sound off": {"sound": False},
}
ASPECTS = ("16:9", "9:16", "1:1")
OFFERS = re.compile(
    r"it offers \S|it takes (none|no size|\d)|takes a first or last frame or references|needs an image"
    r"|has no (first|last) frame|makes no sound|has no such parameter|takes no size next to|takes \d+: shorten"
)
"""Refusals that concern the model itself."""
ALTERNATIVES = re.compile(r"; try .+ \(.+\)( or .+ \(.+\))?$|; no other model is known to offer it$")
REPLACEMENT = re.compile(r": use .+ \(.+\)$")

MODELS = {air: model for air, model in packaged().models.items() if not packaged().is_gone(air)}
USABLE = {model.air: model for model in packaged().usable()}
HANDLER = TaskHandler(Ledger(), Faults(), RenderSettings(), clock=time.time, clip_url="https://vm.runware.ai/{}".format)
each_model = pytest.mark.parametrize("air", MODELS)
each_usable_model = pytest.mark.parametrize("air", USABLE)


@cache
def settings() -> Settings:
    return Settings()


def emulator_refusals(task: Item) -> list[Any]:
    """Return the errors of the emulator for a task object."""
    return [reply["message"] for reply in HANDLER.answer([task], dry_run=True).errors]


def outcome(air: str, **wishes: Any) -> ClipRequest | InputError:
    """Return the request that the emulator accepts, or the refusal before sending."""
    session = make_session(model=air, scene_descriptions=[scene_data(**wishes)])
    try:
        request = clip_request(session, session.scene_descriptions[0], settings(), packaged())
    except InputError as error:
        return error
    task = inference(uuid4(), request, {image: image for _, image in request.named_images()})
    assert emulator_refusals(task) == [], f"{air}, {wishes}: the emulator refuses {task}"
    return request


def problems(air: str, error: InputError) -> Iterator[str]:
    """Tell the sentences of a refusal that do not help."""
    name = MODELS[air].name
    for field, sentence in error.fields.items():
        if f"{name} ({air})" not in sentence:
            yield f"{field} does not name the model: {sentence}"
        if field == "model" and not REPLACEMENT.search(sentence):
            yield f"{field} names no other model: {sentence}"
        if field != "model" and not (OFFERS.search(sentence) and ALTERNATIVES.search(sentence)):
            yield f"{field} does not say what is offered: {sentence}"


def check(air: str, wishes: dict[str, Any]) -> ClipRequest | None:
    found = outcome(air, **wishes)
    if isinstance(found, InputError):
        assert list(problems(air, found)) == [], wishes
        return None
    return found


def durations(model: VideoModel) -> set[float]:
    """Return durations that a model offers: the least, the greatest and its default."""
    offered = model.duration
    if not isinstance(offered, Duration):
        return {5}
    known = [*(offered.values or ()), offered.min, offered.max, offered.default]
    return {seconds for seconds in known if seconds is not None} or {5}


@each_model
def test_each_request_is_accepted_or_refused_before_it_is_sent(air: str) -> None:
    for seconds, kind, aspect in product(durations(MODELS[air]) | {5}, KINDS, ASPECTS):
        check(air, {"duration": seconds, "aspect": aspect, **KINDS[kind]})


@each_usable_model
def test_each_usable_model_takes_some_request(air: str) -> None:
    asked = product(durations(USABLE[air]), [{"first_frame": FIRST}, {}], [{}, {"aspect": "16:9"}])
    assert any(check(air, {"duration": seconds, **kind, **shape}) for seconds, kind, shape in asked)


@each_usable_model
def test_each_resolution_is_accepted_or_refused_before_it_is_sent(air: str) -> None:
    for resolution, aspect, kind in product(("480p", "720p", "1080p", "4k"), ASPECTS, ("text", "first frame")):
        wishes = {"duration": min(durations(USABLE[air])), "aspect": aspect, **KINDS[kind]}
        check(air, {**wishes, "resolution": resolution})


@pytest.mark.parametrize("air", [air for air, model in USABLE.items() if model.sizes])
def test_each_size_of_the_catalogue_is_accepted(air: str) -> None:
    model = USABLE[air]
    for size in model.sizes or ():
        seconds = min(model.size_durations.get(size) or durations(model))
        kind = KINDS["text" if model.text_to_video else "references"]
        request = check(air, {"duration": seconds, "size": size, **kind})
        assert request is not None
        assert f"{request.width}x{request.height}" == size
        check(air, {"duration": seconds, "size": size, **KINDS["first frame"]})


@each_usable_model
def test_each_odd_duration_is_accepted_or_refused_before_it_is_sent(air: str) -> None:
    for seconds, kind in product((0.5, 1, 2.5, 3, 7, 11, 30, 60), ("text", "first frame")):
        check(air, {"duration": seconds, **KINDS[kind]})


@each_usable_model
def test_everything_at_once_is_accepted_or_refused_before_it_is_sent(air: str) -> None:
    words = {"seed": 7, "negative_prompt": "text", "dialog_narration": "Read on.", "visual_description": "lamp " * 600}
    for count, seconds in product((1, 2, 31), durations(USABLE[air])):
        check(air, {**words, "duration": seconds, "references": [REFERENCE] * min(count, 30), "sound": True})
        check(air, {**words, "duration": seconds, "references": [REFERENCE], **KINDS["first and last frame"]})
    most = dict.fromkeys(("visual_description", "camera_work", "lighting", *SOUND_FIELDS), "words " * 600)
    check(air, {**most, "duration": min(durations(USABLE[air])), "negative_prompt": "words " * 600})
