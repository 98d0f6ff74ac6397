"""Stills: the image that an accepted request orders. It determines every byte of the file."""

import re
from dataclasses import dataclass
from typing import Literal

from adreel.emulator.clips import FindUpload, reference_images, seed_of
from adreel.emulator.faults import SCENARIOS
from adreel.emulator.replies import Item

DEFAULT_SIDE = 1024
"""Pixels of a square without a size. A resolution of 1K is as many."""
DEFAULT_FORMAT = "JPG"
SUFFIXES = {"JPG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
"""The formats that the emulator renders, and the ends of the files' names."""
SIDES = range(16, 8193)
_SCENE = re.compile(rf"\b({'|'.join(SCENARIOS)}) scene\b", re.IGNORECASE)
_IN_K = re.compile(r"(\d+(?:\.\d+)?)k", re.IGNORECASE)


@dataclass(frozen=True)
class Still:
    """A still to render. Its images are as in `Clip`."""

    prompt: str
    model: str
    seed: int
    width: int
    height: int
    format: str
    references: tuple[str, ...] = ()
    kind: Literal["still"] = "still"

    @classmethod
    def ordered(cls, task: Item, find_upload: FindUpload = lambda _: None) -> "Still":
        """Read the still from an accepted request, whose data URIs are shortened."""
        side = side_of(task.get("resolution", "1K"))
        return cls(
            prompt=task.get("positivePrompt", "").strip(),
            model=task["model"],
            seed=seed_of(task),
            width=task.get("width", side),
            height=task.get("height", side),
            format=task.get("outputFormat", DEFAULT_FORMAT),
            references=tuple(find_upload(image) or image for image in reference_images(task)),
        )

    @property
    def scenario(self) -> str | None:
        """Return the scenario that the prompt names, if any."""
        return scene_of(self.prompt)

    @property
    def note(self) -> str:
        """Return what the card says in its dial."""
        return "still"

    @property
    def suffix(self) -> str:
        """Return the end of the file's name."""
        return SUFFIXES[self.format]


def scene_of(prompt: object) -> str | None:
    """Return the scenario that a prompt names first, if any: adreel's prompts have "Hook scene" and so on."""
    match = _SCENE.search(prompt) if isinstance(prompt, str) else None
    return match[1].lower() if match else None


def side_of(resolution: str) -> int:
    """Return the side in pixels of a square image of a resolution, such as 0.5K and 2K."""
    match = _IN_K.fullmatch(resolution.strip())
    wanted = round(float(match[1]) * DEFAULT_SIDE) if match else DEFAULT_SIDE
    return min(max(wanted, SIDES[0]), SIDES[-1])
