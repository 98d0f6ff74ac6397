"""A clip, as it was ordered: everything that decides its bytes, and nothing else.

The same request and seed give the same clip, so that it can be rendered again after a restart. Only the prompt tells
which scenario a clip belongs to: adreel's prompts open with "Hook scene", "Problem scene", and so on.
"""

import hashlib
from dataclasses import dataclass

from adreel.emulator.faults import SCENARIOS
from adreel.emulator.refusals import DEFAULT_SIZE
from adreel.emulator.replies import Item

DEFAULT_SECONDS = 5
DEFAULT_RATE = 24


@dataclass(frozen=True)
class Clip:
    """A clip to render: pixels, frames per second, number of frames, and what its card says."""

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
        """Read a clip from an accepted submit; odd sides lose a pixel, as H.264 has none."""
        width, height = task.get("width", DEFAULT_SIZE[0]), task.get("height", DEFAULT_SIZE[1])
        rate = task.get("fps", DEFAULT_RATE)
        return cls(
            prompt=task["positivePrompt"].strip(),
            model=task["model"],
            seed=seed_of(task),
            width=width - width % 2,
            height=height - height % 2,
            rate=rate,
            frames=max(1, round(task.get("duration", DEFAULT_SECONDS) * rate)),
            sound=_wants_sound(task),
        )

    @property
    def scenario(self) -> str | None:
        """Tell the scenario that the prompt opens with, if any."""
        return scenario_of(self.prompt)

    @property
    def seconds(self) -> float:
        """Tell the clip's length, exact to a frame."""
        return self.frames / self.rate


def scenario_of(prompt: object) -> str | None:
    """Tell the scenario that a prompt opens with, if any."""
    words = prompt.split() if isinstance(prompt, str) else []
    word = words[0].strip(".,:;!").lower() if words else ""
    return word if word in SCENARIOS else None


def seed_of(task: Item) -> int:
    """Return the seed that was asked for, or one that follows from the task's UUID."""
    if "seed" in task:
        return int(task["seed"])
    return int.from_bytes(hashlib.sha256(task["taskUUID"].lower().encode()).digest()[:4]) >> 1


def _wants_sound(task: Item) -> bool:
    # Each provider has its own place for the switch; no switch means sound.
    provider = task.get("providerSettings")
    nested = list(provider.values()) if isinstance(provider, dict) else []
    places = [task, task.get("settings"), *nested]
    switches = [place.get(name) for place in places if isinstance(place, dict) for name in ("audio", "generateAudio")]
    return False not in switches
