"""Refusals: what the local Runware does not accept in a submit, and what it says would be right.

A refused submit makes no task and costs nothing.
"""

import re
from collections.abc import Callable
from typing import Any

from adreel.emulator.catalog import model_named
from adreel.emulator.replies import DOCUMENTATION, Item, Reply, error

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
AIR = re.compile(r"[\w-]+:[\w.-]+@[\w.-]+")
LONGEST_PROMPT = 3000
LONGEST_SECONDS = 60
PIXELS = range(16, 4097)
RATES = range(1, 61)
SEEDS = range(2**63)
DEFAULT_SIZE = (1280, 720)

Check = Callable[[Item], Reply | None]


def refusal(task: Item) -> Reply | None:
    """Return why a submit is refused, or None for a good one."""
    return next((reply for check in _CHECKS if (reply := check(task)) is not None), None)


def _refused(task: Item, code: str, parameter: str | list[str], kind: str, **more: Any) -> Reply:
    uuid = task.get("taskUUID")
    message = f"Invalid value for {parameter!r}: {kind} expected."
    if "allowedValues" in more:
        message = f"Unsupported value for {parameter!r}. Allowed: {', '.join(map(str, more['allowedValues']))}."
    details: Item = {"parameter": parameter, "type": kind, "taskType": "videoInference", **more}
    return error(code, message, uuid=uuid if isinstance(uuid, str) else None, documentation=DOCUMENTATION, **details)


def _uuid(task: Item) -> Reply | None:
    if "taskUUID" not in task:
        return _refused(task, "missingTaskUUID", "taskUUID", "UUIDv4 string")
    uuid = task["taskUUID"]
    if isinstance(uuid, str) and UUID4.fullmatch(uuid):
        return None
    return _refused(task, "invalidTaskUUID", "taskUUID", "UUIDv4 string")


def _prompt(task: Item) -> Reply | None:
    prompt = task.get("positivePrompt")
    if prompt is None or prompt == "":
        return _refused(task, "missingPositivePrompt", "positivePrompt", "string")
    if isinstance(prompt, str) and prompt.strip() and len(prompt) <= LONGEST_PROMPT:
        return None
    return _refused(task, "invalidPositivePrompt", "positivePrompt", "string", min=1, max=LONGEST_PROMPT)


def _model(task: Item) -> Reply | None:
    model = task.get("model")
    if model is None or model == "":
        return _refused(task, "missingModel", "model", "string")
    if isinstance(model, str) and AIR.fullmatch(model):
        return None
    return _refused(task, "invalidModel", "model", "AIR string")


def _duration(task: Item) -> Reply | None:
    seconds = task.get("duration", 5)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_SECONDS:
        return _refused(task, "invalidDuration", "duration", "float", min=0.1, max=LONGEST_SECONDS)
    allowed = model_named(task["model"]).durations
    if "duration" not in task or not allowed or seconds in allowed:
        return None
    return _refused(task, "unsupportedDuration", "duration", "float", allowedValues=list(allowed))


def _size(task: Item) -> Reply | None:
    given = [side for side in ("width", "height") if side in task]
    if not given:
        return None
    for side in ("width", "height"):
        if not _is_integer(task.get(side), PIXELS):
            code = f"{'invalid' if side in given else 'missing'}{side.capitalize()}"
            return _refused(task, code, side, "integer", min=PIXELS[0], max=PIXELS[-1])
    sizes = model_named(task["model"]).sizes
    if not sizes or (task["width"], task["height"]) in sizes:
        return None
    allowed = [f"{width}x{height}" for width, height in sizes]
    return _refused(task, "unsupportedDimensions", ["width", "height"], "integer", allowedValues=allowed)


def _integer(name: str, allowed: range) -> Check:
    def check(task: Item) -> Reply | None:
        if name not in task or _is_integer(task[name], allowed):
            return None
        return _refused(task, f"invalid{name[0].upper()}{name[1:]}", name, "integer", min=allowed[0], max=allowed[-1])

    return check


def _choice(name: str, *allowed: Any) -> Check:
    def check(task: Item) -> Reply | None:
        if name not in task or task[name] in allowed:
            return None
        return _refused(task, f"unsupported{name[0].upper()}{name[1:]}", name, "string", allowedValues=list(allowed))

    return check


def _is_integer(value: object, allowed: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in allowed


_CHECKS: tuple[Check, ...] = (
    _uuid,
    _prompt,
    _model,
    _duration,
    _size,
    _integer("fps", RATES),
    _integer("seed", SEEDS),
    _choice("numberResults", 1),
    _choice("deliveryMethod", "async"),
    _choice("outputType", "URL"),
    _choice("outputFormat", "MP4"),
)
