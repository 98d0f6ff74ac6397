"""Submit requests: how they are validated, and the clip that a valid one orders.

An invalid request creates no task and costs nothing. Its error names the allowed values. A valid request and its seed
determine every byte of the clip, so that the clip can be rendered again after a restart.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adreel.emulator.faults import SCENARIOS
from adreel.emulator.replies import DOCUMENTATION, Item, Reply, error

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
AIR = re.compile(r"[\w-]+:[\w.-]+@[\w.-]+")
LONGEST_PROMPT = 3000
LONGEST_SECONDS = 60
PIXELS = range(16, 4097)
RATES = range(1, 61)
SEEDS = range(2**63)
DEFAULT_SIZE = (1280, 720)
DEFAULT_SECONDS = 5
DEFAULT_RATE = 24

HD = ((1280, 720), (720, 1280))
FULL_HD = ((1920, 1080), (1080, 1920))


@dataclass(frozen=True)
class Model:
    """The durations in seconds and the sizes in pixels of a model. Empty means any."""

    durations: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()


ANY = Model()

# Any other model accepts all valid durations and sizes.
MODELS: dict[str, Model] = {
    "klingai:6@1": Model((5, 10), (*HD, (720, 720))),
    "google:3@3": Model((4, 6, 7, 8), (*HD, *FULL_HD, (3840, 2160), (2160, 3840))),
    "bytedance:seedance@1.5-pro": Model(
        tuple(range(4, 13)),
        (*HD, (864, 496), (496, 864), (752, 560), (560, 752), (640, 640), (992, 432), (960, 960), (1112, 834)),
    ),
    "bytedance:2@1": Model(
        (5, 10), ((864, 480), (480, 864), (640, 640), (736, 544), (544, 736), (1920, 1088), (1088, 1920), (1440, 1440))
    ),
    "minimax:3@1": Model((6, 10), ((1366, 768), (1920, 1080))),
    "vidu:4@1": Model(tuple(range(1, 17))),
    "alibaba:wan@2.6": Model((5, 10, 15), (*HD, *FULL_HD, (960, 960), (1440, 1440))),
    "prunaai:p-video@0": Model(tuple(range(1, 16)), (*HD, *FULL_HD)),
}

Check = Callable[[Item], Reply | None]


@dataclass(frozen=True)
class Clip:
    """A clip to render. `rate` is in frames per second, `frames` is their number."""

    prompt: str
    model: str
    seed: int
    width: int
    height: int
    rate: int
    frames: int
    sound: bool

    @classmethod
    def ordered(cls, task: Item) -> "Clip":
        """Read the clip from an accepted request. Odd sides lose a pixel: H.264 requires even ones."""
        width, height = task.get("width", DEFAULT_SIZE[0]), task.get("height", DEFAULT_SIZE[1])
        rate = task.get("fps", DEFAULT_RATE)
        # Each provider has its own place for the audio switch. No switch means sound.
        provider = task.get("providerSettings")
        places = [task, task.get("settings"), *(provider.values() if isinstance(provider, dict) else ())]
        switches = [
            place.get(name) for place in places if isinstance(place, dict) for name in ("audio", "generateAudio")
        ]
        return cls(
            prompt=task["positivePrompt"].strip(),
            model=task["model"],
            seed=seed_of(task),
            width=width - width % 2,
            height=height - height % 2,
            rate=rate,
            frames=max(1, round(task.get("duration", DEFAULT_SECONDS) * rate)),
            sound=False not in switches,
        )

    @property
    def scenario(self) -> str | None:
        """Return the scenario that the prompt names, if any."""
        return scenario_of(self.prompt)

    @property
    def seconds(self) -> float:
        """Return the clip's length, exact to a frame."""
        return self.frames / self.rate


def scenario_of(prompt: object) -> str | None:
    """Return the scenario that a prompt begins with, if any: adreel's prompts begin with "Hook scene" and so on."""
    words = prompt.split() if isinstance(prompt, str) else []
    word = words[0].strip(".,:;!").lower() if words else ""
    return word if word in SCENARIOS else None


def seed_of(task: Item) -> int:
    """Return the requested seed, or one derived from the task's UUID."""
    if "seed" in task:
        return int(task["seed"])
    return int.from_bytes(hashlib.sha256(task["taskUUID"].lower().encode()).digest()[:4]) >> 1


def validation_error(task: Item) -> Reply | None:
    """Return the first error of a submit request, or None if it is valid."""
    return next((reply for check in _CHECKS if (reply := check(task)) is not None), None)


def _invalid(task: Item, code: str, parameter: str | list[str], kind: str, **more: Any) -> Reply:
    uuid = task.get("taskUUID")
    message = f"Invalid value for {parameter!r}: {kind} expected."
    if "allowedValues" in more:
        message = f"Unsupported value for {parameter!r}. Allowed: {', '.join(map(str, more['allowedValues']))}."
    details: Item = {"parameter": parameter, "type": kind, "taskType": "videoInference", **more}
    return error(code, message, uuid=uuid if isinstance(uuid, str) else None, documentation=DOCUMENTATION, **details)


def _check_uuid(task: Item) -> Reply | None:
    if "taskUUID" not in task:
        return _invalid(task, "missingTaskUUID", "taskUUID", "UUIDv4 string")
    uuid = task["taskUUID"]
    if isinstance(uuid, str) and UUID4.fullmatch(uuid):
        return None
    return _invalid(task, "invalidTaskUUID", "taskUUID", "UUIDv4 string")


def _check_prompt(task: Item) -> Reply | None:
    prompt = task.get("positivePrompt")
    if prompt is None or prompt == "":
        return _invalid(task, "missingPositivePrompt", "positivePrompt", "string")
    if isinstance(prompt, str) and prompt.strip() and len(prompt) <= LONGEST_PROMPT:
        return None
    return _invalid(task, "invalidPositivePrompt", "positivePrompt", "string", min=1, max=LONGEST_PROMPT)


def _check_model(task: Item) -> Reply | None:
    model = task.get("model")
    if model is None or model == "":
        return _invalid(task, "missingModel", "model", "string")
    if isinstance(model, str) and AIR.fullmatch(model):
        return None
    return _invalid(task, "invalidModel", "model", "AIR string")


def _check_duration(task: Item) -> Reply | None:
    seconds = task.get("duration", 5)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_SECONDS:
        return _invalid(task, "invalidDuration", "duration", "float", min=0.1, max=LONGEST_SECONDS)
    allowed = MODELS.get(task["model"], ANY).durations
    if "duration" not in task or not allowed or seconds in allowed:
        return None
    return _invalid(task, "unsupportedDuration", "duration", "float", allowedValues=list(allowed))


def _check_size(task: Item) -> Reply | None:
    given = [side for side in ("width", "height") if side in task]
    if not given:
        return None
    for side in ("width", "height"):
        if not _is_integer(task.get(side), PIXELS):
            code = f"{'invalid' if side in given else 'missing'}{side.capitalize()}"
            return _invalid(task, code, side, "integer", min=PIXELS[0], max=PIXELS[-1])
    sizes = MODELS.get(task["model"], ANY).sizes
    if not sizes or (task["width"], task["height"]) in sizes:
        return None
    allowed = [f"{width}x{height}" for width, height in sizes]
    return _invalid(task, "unsupportedDimensions", ["width", "height"], "integer", allowedValues=allowed)


def _check_integer(name: str, allowed: range) -> Check:
    def check(task: Item) -> Reply | None:
        if name not in task or _is_integer(task[name], allowed):
            return None
        return _invalid(task, f"invalid{name[0].upper()}{name[1:]}", name, "integer", min=allowed[0], max=allowed[-1])

    return check


def _check_choice(name: str, *allowed: Any) -> Check:
    def check(task: Item) -> Reply | None:
        if name not in task or task[name] in allowed:
            return None
        return _invalid(task, f"unsupported{name[0].upper()}{name[1:]}", name, "string", allowedValues=list(allowed))

    return check


def _is_integer(value: object, allowed: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in allowed


_CHECKS: tuple[Check, ...] = (
    _check_uuid,
    _check_prompt,
    _check_model,
    _check_duration,
    _check_size,
    _check_integer("fps", RATES),
    _check_integer("seed", SEEDS),
    _check_choice("numberResults", 1),
    _check_choice("deliveryMethod", "async"),
    _check_choice("outputType", "URL"),
    _check_choice("outputFormat", "MP4"),
)
