"""The parts of an ad that are bought one by one: the clips of its scenes, and what is added to them."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from adreel.errors import InputError
from adreel.models.scenarios import Scenario


class Addition(StrEnum):
    """An addition to the clips of an ad: the narration of a scene, the music, or a still of a scene."""

    VOICE_HOOK = "voice-hook"
    VOICE_PROBLEM = "voice-problem"
    VOICE_SOLUTION = "voice-solution"
    VOICE_CTA = "voice-cta"
    MUSIC = "music"
    STILL_HOOK = "still-hook"
    STILL_PROBLEM = "still-problem"
    STILL_SOLUTION = "still-solution"
    STILL_CTA = "still-cta"


Part = Scenario | Addition
"""The clip of a scene has the name of its scenario."""
PartKind = Literal["clip", "voice", "music", "still"]
PARTS: tuple[Part, ...] = (*Scenario, *Addition)
VOICES: dict[Scenario, Addition] = {scenario: Addition(f"voice-{scenario}") for scenario in Scenario}
STILLS: dict[Scenario, Addition] = {scenario: Addition(f"still-{scenario}") for scenario in Scenario}


def kind_of(part: Part) -> PartKind:
    """Return what kind of part it is."""
    if isinstance(part, Scenario):
        return "clip"
    if part == Addition.MUSIC:
        return "music"
    return "voice" if part in VOICES.values() else "still"


def scenario_of(part: Part) -> Scenario | None:
    """Return the scenario of a part; None for the music, which is for the whole ad."""
    if isinstance(part, Scenario):
        return part
    return None if part == Addition.MUSIC else Scenario(part.partition("-")[2])


def label_of(part: Part) -> str:
    """Return a part as messages name it, such as `scene hook`, `voice of hook` and `music`."""
    kind, scenario = kind_of(part), scenario_of(part)
    if scenario is None:
        return kind
    return f"scene {scenario}" if kind == "clip" else f"{kind} of {scenario}"


def count_parts(parts: Iterable[Part]) -> str:
    """Return how many parts there are of each kind, such as `4 scenes, 1 voice and music`."""
    kinds = Counter(kind_of(part) for part in parts)
    nouns: dict[PartKind, str] = {"clip": "scene", "voice": "voice", "music": "music", "still": "still"}
    counted = [
        noun if kind == "music" else f"{kinds[kind]} {noun}{'' if kinds[kind] == 1 else 's'}"
        for kind, noun in nouns.items()
        if kinds[kind]
    ]
    return " and ".join(filter(None, (", ".join(counted[:-1]), *counted[-1:])))


def find_part(name: str) -> Part:
    """Return the part of a name, such as `hook`, `voice:hook` and `music`; InputError if there is none."""
    wanted = name.strip().lower().replace(":", "-")
    for part in PARTS:
        if part == wanted:
            return part
    raise InputError(f"{name!r} is no part of an ad: choose from {', '.join(shown_name(part) for part in PARTS)}")


def shown_name(part: Part) -> str:
    """Return a part as commands take it, such as `hook`, `voice:hook` and `music`."""
    return part.replace("-", ":")
