"""The four scenarios of an ad, in their order, and the places of fields that are named after them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class Scenario(StrEnum):
    """One of the four parts of an ad."""

    HOOK = "hook"
    PROBLEM = "problem"
    SOLUTION = "solution"
    CTA = "cta"


def field_place(steps: Sequence[str | int], data: Any = None) -> str:
    """Return the place of a field as people name it, such as `hook.duration`."""
    if len(steps) > 1 and steps[0] == "scene_descriptions":
        scenario: Any = steps[1]
        if isinstance(scenario, int) and isinstance(data, dict):
            scenes = data.get("scene_descriptions")
            scene = scenes[scenario] if isinstance(scenes, list) and scenario < len(scenes) else None
            scenario = scene.get("scenario") if isinstance(scene, dict) else None
        if isinstance(scenario, str) and scenario in set(Scenario):
            steps = (scenario, *steps[2:])
    return ".".join(str(step) for step in steps)
