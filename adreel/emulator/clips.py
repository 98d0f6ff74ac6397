"""Clips: what an accepted request orders. A request and its seed determine every byte of the clip."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from adreel.emulator.faults import SCENARIOS
from adreel.emulator.images import DIGEST, InputImages
from adreel.emulator.replies import Item
from adreel.emulator.rules import has_sound

PIXELS = range(16, 4097)
DEFAULT_RESOLUTION = "720p"
DEFAULT_SHAPE = 16 / 9
MOST_STRETCHED = 4.0
DEFAULT_SECONDS = 5
DEFAULT_RATE = 24
LINES_OF_K = {"2k": 1440, "4k": 2160}

FindUpload = Callable[[str], str | None]
"""Returns the image of an upload by the upload's UUID."""


@dataclass(frozen=True)
class Clip:
    """A clip to render. `rate` is in frames per second, `frames` is their number.

    An image is "sha256:" and its digest, or a URL that is not fetched.
    """

    prompt: str
    model: str
    seed: int
    width: int
    height: int
    rate: int
    frames: int
    sound: bool
    first: str | None = None
    last: str | None = None
    references: tuple[str, ...] = ()
    kind: Literal["clip"] = "clip"

    @classmethod
    def ordered(
        cls,
        task: Item,
        model: dict[str, Any] | None = None,
        images: InputImages | None = None,
        find_upload: FindUpload = lambda _: None,
    ) -> "Clip":
        """Read the clip from an accepted request, whose data URIs are shortened, and the facts of its model."""
        first = last = None
        for number, (given, position) in enumerate(frame_images(task)):
            image = find_upload(given) or given
            if position == "last" or (position is None and number > 0):
                last = image
            else:
                first = image
        width, height = _size_of(task, first or last or "", images)
        rate = task.get("fps", DEFAULT_RATE)
        return cls(
            prompt=task.get("positivePrompt", "").strip(),
            model=task["model"],
            seed=seed_of(task),
            width=width - width % 2,
            height=height - height % 2,
            rate=rate,
            frames=max(1, round(seconds_of(task, model) * rate)),
            sound=has_sound(task, model),
            first=first,
            last=last,
            references=tuple(find_upload(image) or image for image in reference_images(task)),
        )

    @property
    def scenario(self) -> str | None:
        """Return the scenario that the prompt names, if any."""
        return scenario_of(self.prompt)

    @property
    def seconds(self) -> float:
        """Return the clip's length, exact to a frame."""
        return self.frames / self.rate

    @property
    def note(self) -> str:
        """Return what the card says in its dial."""
        return f"of {self.seconds:.1f} s"

    @property
    def suffix(self) -> str:
        """Return the end of the file's name."""
        return ".mp4"


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


def seconds_of(task: Item, model: dict[str, Any] | None) -> float:
    """Return the requested duration, or the default of the model."""
    offered = (model or {}).get("duration")
    known = offered if isinstance(offered, dict) else {}
    default: float = known.get("default") or next(iter(known.get("values", ())), DEFAULT_SECONDS)
    return float(task.get("duration", default))


def lines_of(resolution: str) -> int:
    """Return the shorter side in pixels of a 16:9 clip of a resolution."""
    match = re.match(r"(\d+)p", resolution.lower())
    return int(match[1]) if match else LINES_OF_K.get(resolution.lower(), 720)


def frame_images(task: Item) -> Iterator[tuple[Any, Any]]:
    """Yield the frame images of a request and their positions, if given."""
    # Requests of 2025 have frames at the top. Only models without rules may still take them.
    for frame in task.get("inputs", {}).get("frameImages") or task.get("frameImages") or ():
        if isinstance(frame, dict):
            yield frame.get("image", frame.get("inputImage")), frame.get("frame")
        else:
            yield frame, None


def reference_images(task: Item) -> Iterator[Any]:
    """Yield the reference images of a request."""
    for reference in task.get("inputs", {}).get("referenceImages") or task.get("referenceImages") or ():
        yield reference.get("image") if isinstance(reference, dict) else reference


def _size_of(task: Item, opening: str, images: InputImages | None) -> tuple[int, int]:
    """Return the size of a clip: the requested one, else that of the resolution in the shape of the image."""
    if "width" in task:
        return task["width"], task["height"]
    shape = DEFAULT_SHAPE
    if images is not None and opening.startswith(DIGEST):
        width, height = images.size(opening)
        shape = min(MOST_STRETCHED, max(1 / MOST_STRETCHED, width / height))
    shorter = lines_of(task.get("resolution", DEFAULT_RESOLUTION))
    shorter = min(shorter, int(PIXELS[-1] / max(shape, 1 / shape)))
    longer = 2 * round(shorter * max(shape, 1 / shape) / 2)
    return (longer, shorter) if shape >= 1 else (shorter, longer)
