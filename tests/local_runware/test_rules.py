"""Refusals by the published facts of a model, in Runware's error form."""

from datetime import UTC, datetime
from typing import Any

import pytest

from adreel.emulator.facts import Facts
from adreel.emulator.faults import Faults
from adreel.emulator.handler import RenderSettings, TaskHandler
from adreel.emulator.ledger import Ledger
from adreel.emulator.replies import Item
from adreel.emulator.rules import EVERY_MODEL_HAS
from adreel.purchase.request import COMMON_PARAMETERS
from tests.local_runware.client import submit

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
FIRST = [{"image": "https://images.example/first.png", "frame": "first"}]
LAST = [{"image": "https://images.example/last.png", "frame": "last"}]
REFERENCE = ["https://images.example/lamp.png"]
NO_SIZE = {"width": None, "height": None}
HD = {"width": 1280, "height": 720}

VEO, VEO_LITE = "google:3@2", "google:veo@3.1-lite"
KLING_2, KLING_3, KLING_O1 = "klingai:6@1", "klingai:kling-video@3-standard", "klingai:kling@o1-standard"
HAILUO, HAILUO_FAST, SEEDANCE_2 = "minimax:4@1", "minimax:4@2", "bytedance:seedance@2.5"
SEEDANCE_FAST, PIXVERSE, LTX = "bytedance:2@2", "pixverse:1@6", "lightricks:ltx@2.3"
FLUX, RUNWAY, TALKING, EDIT = "bfl:flux@3-video", "runway:1@2", "klingai:avatar@2.0-pro", "runway:aleph@2.0"


def new_handler(facts: Facts | None = None) -> TaskHandler:
    return TaskHandler(
        Ledger(), Faults(), RenderSettings(), clock=lambda: NOW, clip_url="http://localhost/{}".format, facts=facts
    )


def refusal(task: Item, facts: Facts | None = None) -> Item | None:
    reply = new_handler(facts).answer([task])
    return reply.errors[0] if reply.errors else None


def request(model: str, **changes: Any) -> Item:
    return submit(model=model, **{"duration": 5, **changes})


ACCEPTED: dict[str, Item] = {
    "text at a size": request(KLING_3, **HD),
    "text at a resolution": request(SEEDANCE_FAST, **NO_SIZE, resolution="1080p"),
    "first frame without a size": request(KLING_3, **NO_SIZE, inputs={"frameImages": FIRST}),
    "first frame beside a size": request(KLING_2, **HD, inputs={"frameImages": FIRST}),
    "first and last frame": request(FLUX, **NO_SIZE, inputs={"frameImages": FIRST + LAST}),
    "references": request(SEEDANCE_2, **NO_SIZE, inputs={"referenceImages": REFERENCE * 3}),
    "sound": request(KLING_3, **HD, providerSettings={"klingai": {"sound": True}}),
    "short duration at a large size": request(HAILUO, duration=6, width=1920, height=1080),
    "size that only third parties have named": request(KLING_O1, width=128, height=72),
    "unknown model": request("local:card@1", anything=1, seed=7, fps=9),
    "model without typed parameters": request("vidu:4@2", seed=7, fps=30),
    "a face and speech": request(
        TALKING,
        **NO_SIZE,
        duration=None,
        inputs={"image": REFERENCE[0], "audio": "https://images.example/speech.mp3"},
    ),
}


@pytest.mark.parametrize("task", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_request_that_keeps_the_rules_is_accepted(task: Item) -> None:
    assert refusal(task) is None


REFUSED: dict[str, tuple[Item, str, Any]] = {
    "gone model": (request("klingai:1@1"), "unknownModel", "model"),
    "deactivated model": (request("bytedance:seedance@1.5-pro", **HD), "unknownModel", "model"),
    "editing without a video": (
        request(EDIT, **NO_SIZE, duration=None, inputs={"referenceImages": REFERENCE}),
        "missingInputs",
        "inputs",
    ),
    "talking without speech": (
        request(TALKING, **NO_SIZE, duration=None, inputs={"referenceImages": REFERENCE}),
        "missingInputs",
        "inputs",
    ),
    "seed": (request(KLING_3, **HD, seed=7), "unsupportedParameter", "seed"),
    "negative prompt": (request(VEO, **HD, duration=4, negativePrompt="people"), "unsupportedParameter", None),
    "resolution": (request(KLING_3, **NO_SIZE, resolution="720p"), "unsupportedParameter", "resolution"),
    "frame rate": (request(KLING_3, **HD, fps=30), "unsupportedParameter", "fps"),
    "steps": (request(KLING_3, **HD, steps=30), "unsupportedParameter", "steps"),
    "guidance": (request(KLING_3, **HD, CFGScale=7), "unsupportedParameter", "CFGScale"),
    "container of others": (request(KLING_3, **HD, settings={"audio": True}), "unsupportedParameter", "settings"),
    "other provider": (
        request(KLING_3, **HD, providerSettings={"google": {"generateAudio": True}}),
        "unsupportedParameter",
        "providerSettings.google",
    ),
    "settings of a word": (request(KLING_3, **HD, providerSettings="x"), "invalidProviderSettings", "providerSettings"),
    "sound of a word": (
        request(KLING_3, **HD, providerSettings={"klingai": {"sound": "on"}}),
        "invalidSound",
        "providerSettings.klingai.sound",
    ),
    "unknown parameter": (request(KLING_3, **HD, mood="warm"), "unsupportedParameter", "mood"),
    "frames as in 2025": (request(KLING_2, **HD, frameImages=FIRST), "unsupportedParameter", "frameImages"),
    "resolution beside a size": (
        request(SEEDANCE_FAST, **HD, resolution="720p"),
        "incompatibleParameters",
        ["resolution", "width", "height"],
    ),
    "unknown resolution": (request(SEEDANCE_FAST, **NO_SIZE, resolution="2K"), "unsupportedResolution", "resolution"),
    "size beside a frame": (
        request(KLING_3, **HD, inputs={"frameImages": FIRST}),
        "incompatibleParameters",
        ["width", "height", "inputs.frameImages"],
    ),
    "size that is not listed": (request(KLING_3, width=1284, height=720), "unsupportedDimensions", ["width", "height"]),
    "no size where one is required": (request(RUNWAY, **NO_SIZE), "missingWidth", "width"),
    "duration that is not listed": (request(VEO, **HD, duration=5), "unsupportedDuration", "duration"),
    "duration out of range": (request(FLUX, **NO_SIZE, duration=21), "unsupportedDuration", "duration"),
    "half a second": (request(KLING_3, **HD, duration=5.5), "invalidDuration", "duration"),
    "no duration where one is required": (request(LTX, **HD, duration=None), "missingDuration", "duration"),
    "long duration at a large size": (
        request(HAILUO, duration=10, width=1920, height=1080),
        "unsupportedDuration",
        "duration",
    ),
    "long duration beside a frame": (
        request(KLING_O1, duration=7, **NO_SIZE, inputs={"frameImages": FIRST}),
        "unsupportedDuration",
        "duration",
    ),
    "no image where one is required": (request(HAILUO_FAST, **NO_SIZE, duration=6), "missingInputs", "inputs"),
    "too many frames": (request(FLUX, **NO_SIZE, inputs={"frameImages": FIRST * 4}), "maxFrameImages", None),
    "two first frames": (
        request(KLING_3, **NO_SIZE, inputs={"frameImages": FIRST * 2}),
        "invalidFrameImages",
        "inputs.frameImages",
    ),
    "frame in the middle": (
        request(KLING_3, **NO_SIZE, inputs={"frameImages": [{**FIRST[0], "frame": "middle"}]}),
        "unsupportedFrame",
        "inputs.frameImages",
    ),
    "too many references": (
        request(SEEDANCE_2, **NO_SIZE, inputs={"referenceImages": REFERENCE * 31}),
        "maxReferenceImages",
        "inputs.referenceImages",
    ),
    "frames beside references": (
        request(SEEDANCE_2, **NO_SIZE, inputs={"frameImages": FIRST, "referenceImages": REFERENCE}),
        "incompatibleParameters",
        ["inputs.frameImages", "inputs.referenceImages"],
    ),
    "no prompt": (request(KLING_2, **HD, positivePrompt=None), "missingPositivePrompt", "positivePrompt"),
    "long prompt": (request(KLING_3, **HD, positivePrompt="a" * 40_001), "invalidPositivePrompt", "positivePrompt"),
    "insecure address": (
        request(KLING_3, **NO_SIZE, inputs={"frameImages": [{"image": "http://images.example/a.png"}]}),
        "invalidFrameImages",
        "inputs.frameImages",
    ),
    "unknown upload": (
        request(SEEDANCE_2, **NO_SIZE, inputs={"referenceImages": ["0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"]}),
        "invalidReferenceImages",
        "inputs.referenceImages",
    ),
    "image of words": (
        request(KLING_3, **NO_SIZE, inputs={"frameImages": [{"image": "data:image/png;base64,aGVsbG8="}]}),
        "invalidFrameImages",
        "inputs.frameImages",
    ),
    "image that is no base64": (
        request(KLING_3, **NO_SIZE, inputs={"frameImages": [{"image": "data:image/png;base64,%%%"}]}),
        "invalidFrameImages",
        "inputs.frameImages",
    ),
    "image of numbers": (request(KLING_3, **NO_SIZE, inputs={"frameImages": [7]}), "invalidFrameImages", None),
    "frames that are no list": (
        request(KLING_3, **NO_SIZE, inputs={"frameImages": "x"}),
        "invalidFrameImages",
        "inputs.frameImages",
    ),
    "inputs that are no object": (request(KLING_3, **NO_SIZE, inputs=[]), "invalidInputs", "inputs"),
    "other format": (request(KLING_3, **HD, outputFormat="GIF"), "unsupportedOutputFormat", "outputFormat"),
}


@pytest.mark.parametrize(("task", "code", "parameter"), REFUSED.values(), ids=REFUSED.keys())
def test_request_that_breaks_a_rule_is_refused(task: Item, code: str, parameter: Any) -> None:
    error = refusal(task)
    assert error is not None
    assert (error["code"], error["taskUUID"]) == (code, task["taskUUID"])
    assert parameter in (None, error["parameter"])
    assert error["documentation"].startswith("https://")
    assert error["type"]


def test_refusal_names_the_allowed_values() -> None:
    sizes = refusal(request(KLING_3, width=128, height=72))
    durations = refusal(request(PIXVERSE, width=1920, height=1080, duration=10))
    assert sizes is not None
    assert sizes["allowedValues"] == ["1280x720", "960x960", "720x1280"]
    assert durations is not None
    assert durations["allowedValues"] == [5, 8]


def test_frame_at_another_position_is_refused() -> None:
    facts = Facts()
    facts.change(KLING_3, frames={"max": 1, "positions": ["first"]})
    error = refusal(request(KLING_3, **NO_SIZE, inputs={"frameImages": LAST}), facts)
    assert error is not None
    assert (error["code"], error["allowedValues"]) == ("unsupportedFrame", ["first"])


def test_only_published_facts_are_rules() -> None:
    facts = Facts()
    facts.change(KLING_3, evidence={"sizes": "third_party"})
    task = request(KLING_3, width=128, height=72)
    assert refusal(task) is not None
    assert refusal(task, facts) is None


def test_model_that_a_test_withdraws_is_refused() -> None:
    facts = Facts()
    handler = new_handler(facts)
    assert not handler.answer([request(KLING_3, **HD)]).errors
    facts.retire(KLING_3)
    assert handler.answer([request(KLING_3, **HD)]).errors[0]["code"] == "unknownModel"


def test_every_model_has_what_adreel_sends_to_every_model() -> None:
    assert COMMON_PARAMETERS <= EVERY_MODEL_HAS


def test_model_ends_on_its_day() -> None:
    facts = Facts()
    facts.change(KLING_3, deactivates_on="2026-11-26", replaced_by=KLING_2)
    assert refusal(request(KLING_3, **HD), facts) is None
    facts.change(KLING_3, deactivates_on="2026-11-25")
    error = refusal(request(KLING_3, **HD), facts)
    assert error is not None
    assert KLING_2 in error["message"]
