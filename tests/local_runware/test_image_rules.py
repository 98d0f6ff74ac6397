"""Refusals of stills by the published facts of a model."""

from typing import Any

import pytest

from adreel.emulator.replies import Item
from tests.local_runware.additions import EDIT, IMAGES, MUSIC, PLAIN_STILL, SIZED, STILL, draw, new_facts
from tests.local_runware.client import submit
from tests.local_runware.test_rules import refusal

LAMP = "https://images.example/lamp.png"
NO_SIZE = {"width": None, "height": None}

ACCEPTED: dict[str, Item] = {
    "size": draw(),
    "resolution": draw(**NO_SIZE, resolution="2K"),
    "neither": draw(**NO_SIZE),
    "references": draw(inputs={"referenceImages": [LAMP, LAMP]}),
    "seed": draw(seed=7),
    "PNG": draw(outputFormat="PNG"),
    "default format": draw(outputFormat=None),
    "shortest prompt": draw(positivePrompt="cap"),
    "edit": draw(model=EDIT, **NO_SIZE, inputs={"referenceImages": [LAMP]}, negativePrompt="people"),
    "smallest side": draw(model=SIZED, width=256, height=1440),
    "settings that the catalogue does not list": draw(model=SIZED, width=512, height=512, steps=9),
    "unknown model": draw(model="local:still@1", width=99, height=99, seed=3, anything=1),
}


@pytest.mark.parametrize("task", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_request_that_keeps_the_rules_is_accepted(task: Item) -> None:
    assert refusal(task, new_facts()) is None


REFUSED: dict[str, tuple[Item, str, Any]] = {
    "gone model": (draw(model="klingai:1@1"), "unknownModel", "model"),
    "video model": (draw(model="klingai:6@1"), "invalidModel", "model"),
    "music model": (draw(model=MUSIC), "invalidModel", "model"),
    "no prompt": (draw(positivePrompt=None), "missingPositivePrompt", "positivePrompt"),
    "prompt that is too short": (draw(positivePrompt="it"), "invalidPositivePrompt", "positivePrompt"),
    "prompt that is too long": (draw(positivePrompt="a" * 5001), "invalidPositivePrompt", "positivePrompt"),
    "negative prompt": (draw(negativePrompt="people"), "unsupportedParameter", "negativePrompt"),
    "seed": (draw(model=SIZED, width=512, height=512, seed=7), "unsupportedParameter", "seed"),
    "length": (draw(duration=5), "unsupportedParameter", "duration"),
    "speech": (draw(speech={"text": "Hello"}), "unsupportedParameter", "speech"),
    "size that is not listed": (draw(width=1000, height=1000), "unsupportedDimensions", ["width", "height"]),
    "height alone": (draw(width=None), "missingWidth", "width"),
    "side that is too small": (draw(model=SIZED, width=255, height=512), "invalidWidth", "width"),
    "side that is too large": (draw(model=SIZED, width=512, height=1441), "invalidHeight", "height"),
    "side between two steps": (draw(model=SIZED, width=520, height=512), "invalidWidth", "width"),
    "size beside references": (
        draw(model=SIZED, width=512, height=512, inputs={"referenceImages": [LAMP]}),
        "incompatibleParameters",
        ["width", "height", "inputs.referenceImages"],
    ),
    "no size where one is required": (draw(model=SIZED, **NO_SIZE), "missingWidth", "width"),
    "size where none is taken": (
        draw(model=EDIT, inputs={"referenceImages": [LAMP]}),
        "unsupportedParameter",
        "width",
    ),
    "unknown resolution": (draw(**NO_SIZE, resolution="3K"), "unsupportedResolution", "resolution"),
    "resolution beside a size": (
        draw(resolution="1K"),
        "incompatibleParameters",
        ["resolution", "width", "height"],
    ),
    "resolution where none is taken": (
        draw(model=SIZED, **NO_SIZE, resolution="1K"),
        "unsupportedParameter",
        "resolution",
    ),
    "too many references": (
        draw(inputs={"referenceImages": [LAMP] * 3}),
        "maxReferenceImages",
        "inputs.referenceImages",
    ),
    "references where none are taken": (
        draw(model=PLAIN_STILL, width=512, height=512, inputs={"referenceImages": [LAMP]}),
        "unsupportedParameter",
        "inputs",
    ),
    "edit without an image": (draw(model=EDIT, **NO_SIZE), "missingInputs", "inputs"),
    "frames": (draw(inputs={"frameImages": [{"image": LAMP}]}), "unsupportedParameter", "inputs.frameImages"),
    "reference that is no image": (
        draw(inputs={"referenceImages": ["data:image/png;base64,aGVsbG8="]}),
        "invalidReferenceImages",
        "inputs.referenceImages",
    ),
    "reference at no address": (
        draw(inputs={"referenceImages": ["lamp.png"]}),
        "invalidReferenceImages",
        "inputs.referenceImages",
    ),
    "format of clips": (draw(outputFormat="MP4"), "unsupportedOutputFormat", "outputFormat"),
    "format of other models": (
        draw(model=SIZED, width=512, height=512, outputFormat="PNG"),
        "unsupportedOutputFormat",
        "outputFormat",
    ),
    "synchronous delivery": (draw(deliveryMethod="sync"), "unsupportedDeliveryMethod", "deliveryMethod"),
    "unknown model without a prompt": (draw(model="local:still@1", positivePrompt=None), "missingPositivePrompt", None),
    "image model for a clip": (submit(model=STILL), "invalidModel", "model"),
}


@pytest.mark.parametrize(("task", "code", "parameter"), REFUSED.values(), ids=REFUSED.keys())
def test_request_that_breaks_a_rule_is_refused(task: Item, code: str, parameter: Any) -> None:
    error = refusal(task, new_facts())
    assert error is not None
    assert (error["code"], error["taskUUID"], error["taskType"]) == (code, task["taskUUID"], task["taskType"])
    assert parameter in (None, error["parameter"])


def test_facts_can_change() -> None:
    facts = new_facts()
    facts.change(STILL, references=3)
    assert refusal(draw(inputs={"referenceImages": [LAMP] * 3}), facts) is None
    assert IMAGES[STILL]["references"] == 2
    facts.retire(STILL)
    error = refusal(draw(), facts)
    assert error is not None
    assert error["code"] == "unknownModel"
