"""Outputs: what a task renders, a clip, a sound or a still.

Faults are aimed at the kind of an output, or at its part: the scenario of a clip or a still, which the prompt names. A
voice is of no scenario, since its text does not name one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from adreel.emulator.clips import Clip, FindUpload, scenario_of
from adreel.emulator.facts import Facts
from adreel.emulator.images import InputImages
from adreel.emulator.replies import Item
from adreel.emulator.sounds import Sound
from adreel.emulator.stills import Still, scene_of

Output = Clip | Sound | Still

RESULTS = {"videoInference": "video", "audioInference": "audio", "imageInference": "image"}
"""Task types that are rendered. Their results have a UUID and a URL under these words."""
CLASSES: Mapping[str, Callable[..., Output]] = {"clip": Clip, "voice": Sound, "music": Sound, "still": Still}


def ordered(task: Item, facts: Facts, images: InputImages, find_upload: FindUpload) -> Output:
    """Read the output from an accepted request, whose data URIs are shortened."""
    match task["taskType"]:
        case "audioInference":
            return Sound.ordered(task, facts.find(task["model"]))
        case "imageInference":
            return Still.ordered(task, find_upload)
        case _:
            return Clip.ordered(task, facts.find(task["model"]), images, find_upload)


def recorded(fields: Mapping[str, Any]) -> Output:
    """Read an output from its JSON. A clip of an earlier version has no kind."""
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return CLASSES[fields.get("kind", "clip")](**known)


def kind_of(task: Item) -> str:
    """Return the kind of a request's output, whether the request is valid or not."""
    if task.get("taskType") == "imageInference":
        return "still"
    if task.get("taskType") == "audioInference":
        return "voice" if task.get("speech") else "music"
    return "clip"


def part_of(task: Item) -> str | None:
    """Return the part that a request is for: a scenario, such as hook, or still-hook, still, voice or music."""
    kind, prompt = kind_of(task), task.get("positivePrompt")
    if kind == "clip":
        return scenario_of(prompt)
    scenario = scene_of(prompt) if kind == "still" else None
    return f"still-{scenario}" if scenario else kind
