"""Rules of the video models: which requests Runware refuses, by the catalogue's facts.

A fact counts only where Runware itself has published it; what third parties say may be wrong. Models that the catalogue
does not know have no rules, since they may be newer than the catalogue.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from adreel.emulator.facts import Facts
from adreel.emulator.replies import Item

Model = dict[str, Any]

PUBLISHED = {
    "content_api",
    "content_api_copy",
    "docs",
    "docs_2025-10",
    "docs_copy_2026-10",
    "docs_page",
    "protocol",
    "schema",
    "schema_copy",
    "schema_rules_2026-09-24",
    "sdk_types",
}
"""Kinds of evidence that come from Runware."""
EVERY_MODEL_HAS = {
    "deliveryMethod",
    "includeCost",
    "model",
    "numberResults",
    "outputFormat",
    "outputQuality",
    "outputType",
    "routing",
    "safety",
    "taskType",
    "taskUUID",
    "ttl",
    "uploadEndpoint",
    "webhookURL",
}
IMAGE_INPUTS = {"frameImages", "referenceImages"}
POSITIONS = ("first", "last")
PLAIN_SOUND_SWITCHES = ("audio", "generateAudio", "sound")
LONGEST_PROMPT = 40_000
"""The greatest limit that Runware has published; it holds for models whose limit is not known."""
SOURCES = {"edit": "a video", "talking": "a face and speech"}


@dataclass(frozen=True)
class Violation:
    """A violated rule: Runware's error code, and the parameter or parameters."""

    code: str
    parameter: str | list[str]
    message: str
    kind: str = "string"
    allowed: tuple[Any, ...] | None = None


def is_published(model: Model, fact: str) -> bool:
    """Whether Runware has published a fact of a model."""
    evidence = model.get("evidence", {})
    shared = evidence.get("media", "sdk_types") if fact in {"frames", "references"} else "sdk_types"
    return evidence.get(fact, shared) in PUBLISHED


def published(model: Model, fact: str) -> Any:
    """Return a fact of a model, or None if Runware has not published it."""
    return model.get(fact) if is_published(model, fact) else None


def unavailable(task: Item, facts: Facts, today: date) -> Violation | None:
    """Return why the model of a request can't be ordered from, if it can't."""
    air = task["model"]
    model = facts.find(air)
    ended = model.get("deactivates_on") if model else facts.gone.get(air, {}).get("gone_by")
    if ended and (model is None or date.fromisoformat(ended) <= today):
        instead = (model or facts.gone[air]).get("replaced_by")
        advice = f" Use {instead!r}." if instead else ""
        return Violation("unknownModel", "model", f"Model {air!r} is not available since {ended}.{advice}", "AIR")
    kind = facts.type_of(air)
    if kind not in (None, task["taskType"]):
        return Violation("invalidModel", "model", f"Model {air!r} is of {kind}, not of {task['taskType']}.", "AIR")
    return None


def violation(task: Item, model: Model | None) -> Violation | None:
    """Return the first rule of its model that a request for a clip breaks."""
    if model is None:
        return next(check_prompt(task, {"prompt": "required"}), None)
    return next((found for rule in _RULES for found in rule(task, model)), None)


def _check_parameters(task: Item, model: Model) -> Iterator[Violation]:
    if "seed" not in model:
        # The SDK's types say nothing about this model, and it is not empty.
        return
    declared = {*EVERY_MODEL_HAS, *model.get("parameters", ())}
    optional = {
        "positivePrompt": model.get("prompt") != "absent",
        "negativePrompt": model.get("negative_prompt"),
        "seed": model.get("seed"),
        "duration": model.get("duration") != "absent",
        "width": model.get("width_height") != "absent",
        "height": model.get("width_height") != "absent",
        "resolution": model.get("resolutions"),
        "inputs": model.get("inputs"),
        "settings": model.get("settings") == "settings",
        "providerSettings": model.get("settings") == "providerSettings",
    }
    declared |= {name for name, has in optional.items() if has}
    for name in task:
        if name not in declared:
            yield Violation("unsupportedParameter", name, f"Parameter {name!r} is not supported by {model['name']!r}.")


def _check_settings(task: Item, model: Model) -> Iterator[Violation]:
    for container in ("settings", "providerSettings"):
        values = task.get(container, {})
        if not isinstance(values, dict):
            yield Violation(f"invalid{_title(container)}", container, f"{container!r} must be an object.", "object")
            return
    for provider, values in task.get("providerSettings", {}).items():
        place = f"providerSettings.{provider}"
        if provider != task["model"].partition(":")[0]:
            yield Violation("unsupportedParameter", place, f"Parameter {place!r} is not of this model's provider.")
        elif not isinstance(values, dict):
            yield Violation("invalidProviderSettings", place, f"{place!r} must be an object.", "object")
    switch = _sound_facts(model).get("parameter")
    if switch and not isinstance(_value_at(task, switch, default=False), bool):
        yield Violation(f"invalid{_title(switch.rpartition('.')[2])}", switch, f"{switch!r} is a switch.", "boolean")


def check_prompt(task: Item, model: Model) -> Iterator[Violation]:
    """Yield what is wrong with the prompt of a request."""
    prompt = task.get("positivePrompt")
    if not prompt:
        if published(model, "prompt") == "required":
            yield Violation("missingPositivePrompt", "positivePrompt", "A prompt is required.")
        return
    least, most = published(model, "prompt_length") or (1, LONGEST_PROMPT)
    if not least <= len(prompt) <= most:
        message = f"The prompt has {len(prompt)} characters, from {least} to {most} are allowed."
        yield Violation("invalidPositivePrompt", "positivePrompt", message)


def _check_inputs(task: Item, model: Model) -> Iterator[Violation]:
    inputs = task.get("inputs", {})
    frames, references = inputs.get("frameImages", ()), inputs.get("referenceImages", ())
    needs_inputs = published(model, "inputs") == "required" or published(model, "text_to_video") is False
    source = SOURCES.get(model["kind"])
    has_source = "speech" in task or bool(set(inputs) - IMAGE_INPUTS)
    if needs_inputs and not (has_source if source else any(inputs.values())):
        yield Violation("missingInputs", "inputs", f"{model['name']!r} needs {source or 'an image'}.", "object")
    offered = published(model, "frames")
    place = "inputs.frameImages"
    if offered and len(frames) > offered["max"]:
        message = f"{len(frames)} frame images are too many: {offered['max']} are allowed."
        yield Violation("maxFrameImages", place, message, "array")
    positions = [position for frame in frames if isinstance(frame, dict) and (position := frame.get("frame"))]
    allowed = offered["positions"] if offered else POSITIONS
    for position in positions:
        if position not in allowed:
            message = f"{model['name']!r} takes no {position!r} frame."
            yield Violation("unsupportedFrame", place, message, allowed=tuple(allowed))
        if positions.count(position) > 1:
            yield Violation("invalidFrameImages", place, f"There are several {position!r} frames.", "array")
    most = published(model, "references")
    if most is not None and len(references) > most:
        message = f"{len(references)} reference images are too many: {most} are allowed."
        yield Violation("maxReferenceImages", "inputs.referenceImages", message, "array")
    if frames and references and published(model, "frames_with_references") is False:
        both = [place, "inputs.referenceImages"]
        yield Violation("incompatibleParameters", both, "Give frame images or reference images, not both.", "array")


def _check_duration(task: Item, model: Model) -> Iterator[Violation]:
    offered = published(model, "duration")
    seconds = task.get("duration")
    if seconds is None:
        if isinstance(offered, dict) and offered.get("required"):
            yield Violation("missingDuration", "duration", "A duration is required.", "integer")
        return
    if isinstance(offered, dict):
        if offered["whole"] and not float(seconds).is_integer():
            yield Violation("invalidDuration", "duration", f"{seconds:g} s are not whole seconds.", "integer")
        values = offered.get("values")
        least, most = offered.get("min", 0), offered.get("max", float("inf"))
        if values and seconds not in values:
            yield _unsupported_duration(seconds, values)
        elif not least <= seconds <= most:
            message = f"{seconds:g} s are not from {least} to {most} s."
            yield Violation("unsupportedDuration", "duration", message, "integer")
    beside_frames = published(model, "frame_durations")
    if beside_frames and _frames(task) and seconds not in beside_frames:
        yield _unsupported_duration(seconds, beside_frames)
    at_size = (published(model, "size_durations") or {}).get(_size(task))
    if at_size and seconds not in at_size:
        yield _unsupported_duration(seconds, at_size)


def _check_size(task: Item, model: Model) -> Iterator[Violation]:
    size, sides = _size(task), ["width", "height"]
    has_frames = bool(_frames(task))
    excluded = published(model, "size_with_frames") == "excluded"
    resolutions = published(model, "resolutions")
    if "resolution" in task and size:
        message = "Give a resolution or width and height, not both."
        yield Violation("incompatibleParameters", ["resolution", *sides], message)
    if has_frames and excluded and size:
        message = "Give exactly one of inputs.frameImages or width and height: the size comes from the image."
        yield Violation("incompatibleParameters", [*sides, "inputs.frameImages"], message, "integer|array")
    if "resolution" in task and resolutions and task["resolution"] not in resolutions:
        message = f"Resolution {task['resolution']!r} is not offered."
        yield Violation("unsupportedResolution", "resolution", message, allowed=tuple(resolutions))
    sizes = published(model, "sizes")
    if size and sizes and size not in sizes:
        yield Violation("unsupportedDimensions", sides, f"Size {size} is not offered.", "integer", tuple(sizes))
    if not size and published(model, "width_height") == "required" and not (has_frames and excluded):
        yield Violation("missingWidth", "width", "A width and a height are required.", "integer")


_RULES: tuple[Callable[[Item, Model], Iterator[Violation]], ...] = (
    _check_parameters,
    _check_settings,
    check_prompt,
    _check_inputs,
    _check_duration,
    _check_size,
)


def has_sound(task: Item, model: Model | None) -> bool:
    """Whether the clip of a request has sound: by its switch, else by the model's published default, else not."""
    sound = _sound_facts(model or {})
    switch = sound.get("parameter")
    default = bool(sound.get("default")) and is_published(model or {}, "sound")
    if switch:
        return _value_at(task, switch, default=default) is True
    if model is not None and model.get("sound") == "absent":
        return False
    # It is not known where this model has its switch: any of the known names counts.
    settings, nested = task.get("settings"), task.get("providerSettings")
    places = [settings, *(nested.values() if isinstance(nested, dict) else ())]
    switches = [place.get(name) for place in places if isinstance(place, dict) for name in PLAIN_SOUND_SWITCHES]
    return True in switches or (default and False not in switches)


def is_sound_known(task: Item, model: Model | None) -> bool:
    """Whether the request or a published default says if the clip has sound."""
    facts = _sound_facts(model or {})
    if not facts:
        return (model or {}).get("sound") == "absent"
    switch = facts.get("parameter")
    said = switch is not None and _value_at(task, switch, default=None) is not None
    return said or (facts.get("default") is not None and is_published(model or {}, "sound"))


def _sound_facts(model: Model) -> Item:
    sound = model.get("sound")
    return sound if isinstance(sound, dict) else {}


def _value_at(task: Item, path: str, *, default: Any) -> Any:
    """Return the value at a dotted path."""
    place: Any = task
    for step in path.split("."):
        if not isinstance(place, dict) or step not in place:
            return default
        place = place[step]
    return place


def _frames(task: Item) -> Any:
    return task.get("inputs", {}).get("frameImages", ())


def _size(task: Item) -> str:
    """Return the size of a request as WIDTHxHEIGHT, "" for none."""
    return f"{task['width']}x{task['height']}" if "width" in task else ""


def _unsupported_duration(seconds: float, allowed: list[int]) -> Violation:
    return Violation(
        "unsupportedDuration", "duration", f"{seconds:g} s are not offered.", "integer", allowed=tuple(allowed)
    )


def _title(name: str) -> str:
    return name[0].upper() + name[1:]
