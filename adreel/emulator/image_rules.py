"""Rules of the image models: which requests for stills Runware refuses, by the catalogue's facts.

As for videos, a fact counts only where Runware itself has published it, and a model that the catalogue does not know
has no rules. The catalogue does not list the settings of image models, so any are taken.
"""

from collections.abc import Callable, Iterator

from adreel.emulator.replies import Item
from adreel.emulator.rules import Model, Violation, check_prompt, published
from adreel.emulator.stills import DEFAULT_FORMAT

NO_MODEL_HAS = ("duration", "fps", "speech", "audioSettings")
SIDES = ["width", "height"]


def violation(task: Item, model: Model | None) -> Violation | None:
    """Return the first rule of its model that a request for a still breaks."""
    known = model or {"prompt": "required"}
    return next((found for rule in _RULES for found in rule(task, known)), None)


def _check_parameters(task: Item, model: Model) -> Iterator[Violation]:
    absent = {
        "positivePrompt": published(model, "prompt") == "absent",
        "negativePrompt": published(model, "negative_prompt") is False,
        "seed": published(model, "seed") is False,
        "width": published(model, "width_height") == "absent",
        "height": published(model, "width_height") == "absent",
        "resolution": "name" in model and not model.get("resolutions"),
        "inputs": published(model, "inputs") == "absent",
    }
    for name in task:
        if name in NO_MODEL_HAS or absent.get(name):
            of = model.get("name", task["model"])
            yield Violation("unsupportedParameter", name, f"Parameter {name!r} is not supported by {of!r}.")


def _check_inputs(task: Item, model: Model) -> Iterator[Violation]:
    inputs = task.get("inputs", {})
    if "frameImages" in inputs:
        place = "inputs.frameImages"
        yield Violation("unsupportedParameter", place, f"Parameter {place!r} is of videos.", "array")
    if published(model, "inputs") == "required" and not any(inputs.values()):
        yield Violation("missingInputs", "inputs", f"{model['name']!r} needs an image.", "object")
    most, given = published(model, "references"), len(inputs.get("referenceImages", ()))
    if most is not None and given > most:
        message = f"{given} reference images are too many: {most} are allowed."
        yield Violation("maxReferenceImages", "inputs.referenceImages", message, "array")


def _check_size(task: Item, model: Model) -> Iterator[Violation]:
    has_size, resolutions = "width" in task, published(model, "resolutions")
    if "resolution" in task and has_size:
        message = "Give a resolution or width and height, not both."
        yield Violation("incompatibleParameters", ["resolution", *SIDES], message)
    if "resolution" in task and resolutions and task["resolution"] not in resolutions:
        message = f"Resolution {task['resolution']!r} is not offered."
        yield Violation("unsupportedResolution", "resolution", message, allowed=tuple(resolutions))
    if not has_size:
        if published(model, "width_height") == "required":
            yield Violation("missingWidth", "width", "A width and a height are required.", "integer")
        return
    if published(model, "size_with_references") == "excluded" and task.get("inputs", {}).get("referenceImages"):
        both = [*SIDES, "inputs.referenceImages"]
        yield Violation("incompatibleParameters", both, "The size comes from the references.", "integer|array")
    size, sizes = f"{task['width']}x{task['height']}", published(model, "sizes")
    if sizes and size not in sizes:
        yield Violation("unsupportedDimensions", SIDES, f"Size {size} is not offered.", "integer", tuple(sizes))
    limits = published(model, "size_limits") or {}
    for side in SIDES:
        least, most = limits.get("min", 0), limits.get("max", float("inf"))
        if not least <= task[side] <= most or task[side] % limits.get("step", 1):
            message = f"{task[side]} pixels are not from {least} to {most} in steps of {limits.get('step', 1)}."
            yield Violation(f"invalid{side.title()}", side, message, "integer")


def _check_format(task: Item, model: Model) -> Iterator[Violation]:
    wanted, formats = task.get("outputFormat", DEFAULT_FORMAT), published(model, "formats")
    if formats and wanted not in formats:
        message = f"Format {wanted!r} is not offered."
        yield Violation("unsupportedOutputFormat", "outputFormat", message, allowed=tuple(formats))


_RULES: tuple[Callable[[Item, Model], Iterator[Violation]], ...] = (
    _check_parameters,
    check_prompt,
    _check_inputs,
    _check_size,
    _check_format,
)
