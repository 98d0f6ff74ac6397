"""Submit requests: how they are validated. An invalid request creates no task and costs nothing.

The checks here hold for every model of a task type. Those of `rules`, `audio_rules` and `image_rules` are of the model
that the request names.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from adreel.emulator import audio_rules, image_rules, rules, sounds, stills
from adreel.emulator.clips import PIXELS, FindUpload, frame_images, reference_images
from adreel.emulator.facts import Facts
from adreel.emulator.images import InputImages, is_data_uri
from adreel.emulator.replies import DOCUMENTATION, Item, Reply, error
from adreel.emulator.rules import LONGEST_PROMPT, unavailable

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
AIR = re.compile(r"[\w-]+:[\w.-]+@[\w.-]+")
LONGEST_SECONDS = 60
RATES = range(1, 61)
SEEDS = range(2**63)
QUALITIES = range(20, 100)
TIMES_TO_LIVE = range(60, 2**31)

Check = Callable[[Item], Reply | None]


class Validator:
    """Checks submit requests by the facts of the models and the known uploads."""

    def __init__(self, facts: Facts, images: InputImages, find_upload: FindUpload) -> None:
        self._facts, self._images, self._find_upload = facts, images, find_upload

    def error(self, task: Item, now: float) -> Reply | None:
        """Return the first error of a submit request, or None if it is valid. Valid images of it are kept."""
        for check in CHECKS[task["taskType"]]:
            if reply := check(task):
                return reply
        today = datetime.fromtimestamp(now, UTC).date()
        broken = unavailable(task, self._facts, today) or RULES[task["taskType"]](task, self._facts.find(task["model"]))
        if broken:
            more = {} if broken.allowed is None else {"allowedValues": list(broken.allowed)}
            return _refused(task, broken.code, broken.parameter, broken.message, broken.kind, **more)
        return next(self._image_errors(task), None)

    def upload_error(self, task: Item) -> Reply | None:
        """Return why an upload is refused, or None. Its image is kept."""
        if task.get("operation") != "upload":
            return _invalid(task, "unsupportedOperation", "operation", "string", allowedValues=["upload"])
        if not is_data_uri(task.get("media")):
            return _invalid(task, "invalidMedia", "media", "data URI")
        return self._image_error(task, task["media"], "media")

    def _image_error(self, task: Item, image: object, parameter: str) -> Reply | None:
        problem = "it is no string"
        if is_data_uri(image):
            try:
                self._images.add(str(image))
            except ValueError as error:
                problem = str(error)
            else:
                return None
        elif isinstance(image, str):
            if image.startswith("https://") or self._find_upload(image):
                return None
            problem = "it is no https URL, no data URI and no UUID of an upload"
        code = f"invalid{_title(parameter.rpartition('.')[2])}"
        return _refused(task, code, parameter, f"Invalid image in {parameter!r}: {problem}.", "string")

    def _image_errors(self, task: Item) -> Iterator[Reply]:
        frames = [image for image, _ in frame_images(task)]
        for parameter, images in (("frameImages", frames), ("referenceImages", list(reference_images(task)))):
            for image in images:
                if reply := self._image_error(task, image, f"inputs.{parameter}"):
                    yield reply


def _refused(task: Item, code: str, parameter: str | list[str], message: str, kind: str, **more: Any) -> Reply:
    uuid = task.get("taskUUID")
    details: Item = {"parameter": parameter, "type": kind, "taskType": task.get("taskType"), **more}
    return error(code, message, uuid=uuid if isinstance(uuid, str) else None, documentation=DOCUMENTATION, **details)


def _invalid(task: Item, code: str, parameter: str, kind: str, **more: Any) -> Reply:
    message = f"Invalid value for {parameter!r}: {kind} expected."
    if "allowedValues" in more:
        message = f"Unsupported value for {parameter!r}. Allowed: {', '.join(map(str, more['allowedValues']))}."
    return _refused(task, code, parameter, message, kind, **more)


def _check_uuid(task: Item) -> Reply | None:
    if "taskUUID" not in task:
        return _invalid(task, "missingTaskUUID", "taskUUID", "UUIDv4 string")
    uuid = task["taskUUID"]
    if isinstance(uuid, str) and UUID4.fullmatch(uuid):
        return None
    return _invalid(task, "invalidTaskUUID", "taskUUID", "UUIDv4 string")


def _check_model(task: Item) -> Reply | None:
    model = task.get("model")
    if model is None or model == "":
        return _invalid(task, "missingModel", "model", "string")
    if isinstance(model, str) and AIR.fullmatch(model):
        return None
    return _invalid(task, "invalidModel", "model", "AIR string")


def _check_prompts(task: Item) -> Reply | None:
    for name in ("positivePrompt", "negativePrompt"):
        prompt = task.get(name, "")
        if not isinstance(prompt, str) or (prompt and not prompt.strip()):
            return _invalid(task, f"invalid{_title(name)}", name, "string", min=1, max=LONGEST_PROMPT)
    return None


def _check_duration(task: Item) -> Reply | None:
    seconds = task.get("duration", 5)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_SECONDS:
        return _invalid(task, "invalidDuration", "duration", "float", min=0.1, max=LONGEST_SECONDS)
    return None


def _check_size(allowed: range) -> Check:
    def check(task: Item) -> Reply | None:
        given = [side for side in ("width", "height") if side in task]
        for side in ("width", "height") if given else ():
            if not _is_integer(task.get(side), allowed):
                code = f"{'invalid' if side in given else 'missing'}{_title(side)}"
                return _invalid(task, code, side, "integer", min=allowed[0], max=allowed[-1])
        if not isinstance(task.get("resolution", ""), str):
            return _invalid(task, "invalidResolution", "resolution", "string")
        return None

    return check


def _check_inputs(task: Item) -> Reply | None:
    inputs = task.get("inputs", {})
    if not isinstance(inputs, dict):
        return _invalid(task, "invalidInputs", "inputs", "object")
    for name in ("frameImages", "referenceImages"):
        for place, images in ((f"inputs.{name}", inputs.get(name, [])), (name, task.get(name, []))):
            if not isinstance(images, list):
                return _invalid(task, f"invalid{_title(name)}", place, "array")
    return None


def _check_integer(name: str, allowed: range) -> Check:
    def check(task: Item) -> Reply | None:
        if name not in task or _is_integer(task[name], allowed):
            return None
        return _invalid(task, f"invalid{_title(name)}", name, "integer", min=allowed[0], max=allowed[-1])

    return check


def _check_choice(name: str, kind: str, *allowed: Any) -> Check:
    def check(task: Item) -> Reply | None:
        if name not in task or task[name] in allowed:
            return None
        return _invalid(task, f"unsupported{_title(name)}", name, kind, allowedValues=list(allowed))

    return check


def _is_integer(value: object, allowed: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in allowed


def _title(name: str) -> str:
    return name[0].upper() + name[1:]


# The emulator renders one file for a task, so it takes fewer formats and numbers of results than Runware does.
_OF_EVERY_TASK: tuple[Check, ...] = (
    _check_uuid,
    _check_model,
    _check_prompts,
    _check_inputs,
    _check_integer("seed", SEEDS),
    _check_integer("outputQuality", QUALITIES),
    _check_integer("ttl", TIMES_TO_LIVE),
    _check_choice("includeCost", "boolean", True, False),
    _check_choice("numberResults", "integer", 1),
    _check_choice("deliveryMethod", "string", "async"),
    _check_choice("outputType", "string", "URL"),
)
CHECKS: dict[str, tuple[Check, ...]] = {
    "videoInference": (
        *_OF_EVERY_TASK,
        _check_duration,
        _check_size(PIXELS),
        _check_integer("fps", RATES),
        _check_choice("outputFormat", "string", "MP4"),
    ),
    "audioInference": (*_OF_EVERY_TASK, _check_choice("outputFormat", "string", *sounds.SUFFIXES)),
    "imageInference": (
        *_OF_EVERY_TASK,
        _check_size(stills.SIDES),
        _check_choice("outputFormat", "string", *stills.SUFFIXES),
    ),
}
RULES = {
    "videoInference": rules.violation,
    "audioInference": audio_rules.violation,
    "imageInference": image_rules.violation,
}
