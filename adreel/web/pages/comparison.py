"""Two takes of a scene side by side: what they were ordered with, and the words in which that differs."""

import json
import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from adreel.models.takes import Take
from adreel.records.inputs import display_name
from adreel.web.pages.forms import DESCRIPTION, WORDS, field_text
from adreel.web.pages.models import ModelChoices

SOUND = {True: "On", False: "Off", None: "Model's default"}
_WORD = re.compile(r"[^\s.,;:!?]+\s*|[.,;:!?]+\s*")


@dataclass(frozen=True)
class ComparedTake:
    """A take with a clip; `number` counts the takes of the scene from 1 for the oldest."""

    take: Take
    number: int
    is_current: bool


@dataclass(frozen=True)
class Piece:
    """Words of a text with the white space behind them, and whether the other text lacks the words."""

    words: str
    space: str
    is_changed: bool


@dataclass(frozen=True)
class Difference:
    """A field in which two takes differ, with its text in each."""

    label: str
    first: list[Piece]
    second: list[Piece]


@dataclass(frozen=True)
class Comparison:
    """Two takes of a scene with the fields in which they differ, and the labels of those that are the same."""

    sides: dict[str, ComparedTake]
    """Both takes by their letter, A and B."""
    differences: list[Difference]
    same: list[str]

    @classmethod
    def of(cls, first: ComparedTake, second: ComparedTake, models: ModelChoices) -> "Comparison":
        """Compare what two takes were ordered with."""
        before, after = _ordered_with(first.take, models), _ordered_with(second.take, models)
        given = [label for label in before if before[label] or after[label]]
        same = [label for label in given if before[label].split() == after[label].split()]
        differences = [
            Difference(label, *word_pieces(before[label], after[label])) for label in given if label not in same
        ]
        return cls({"A": first, "B": second}, differences, same)

    @property
    def seconds(self) -> float:
        """Length of the longer clip."""
        return max(side.take.clip.duration for side in self.sides.values() if side.take.clip)


def _ordered_with(take: Take, models: ModelChoices) -> dict[str, str]:
    request, attempt = take.request, take.attempts[-1]
    words = {each.label: getattr(take.scene, each.name) for each in (DESCRIPTION, *WORDS) if each.name != "duration"}
    model = models.find(request.model)
    size = (
        f"{request.width} \N{MULTIPLICATION SIGN} {request.height}"
        if request.width and request.height
        else request.resolution
    )
    settings = [f"{name}: {json.dumps(value)}" for name, value in sorted(request.parameters.items())]
    options = {
        "Model": model.name if model else request.model,
        "Seconds": request.duration,
        "Size": size,
        "Sound": SOUND[request.sound],
        "Not to be seen": request.negative_prompt,
        "First frame": display_name(request.first_frame or ""),
        "Last frame": display_name(request.last_frame or ""),
        "References": "\n".join(map(display_name, request.references or ())),
        "Further settings": "\n".join(settings),
        "Seed": request.seed or attempt.seed,
    }
    return {label: field_text(value).strip() for label, value in (words | options).items()}


def word_pieces(first: str, second: str) -> tuple[list[Piece], list[Piece]]:
    """Return two texts in pieces that differ by whole words; white space does not count."""
    before, after = _WORD.findall(first), _WORD.findall(second)
    matcher = SequenceMatcher(None, [word.strip() for word in before], [word.strip() for word in after])
    blocks = matcher.get_matching_blocks()
    return (
        _pieces(before, {number for block in blocks for number in range(block.a, block.a + block.size)}),
        _pieces(after, {number for block in blocks for number in range(block.b, block.b + block.size)}),
    )


def _pieces(words: list[str], common: set[int]) -> list[Piece]:
    pieces = []
    for is_changed, run in groupby(enumerate(words), key=lambda each: each[0] not in common):
        text = "".join(word for _, word in run)
        pieces.append(Piece(text.rstrip(), text[len(text.rstrip()) :], is_changed))
    return pieces
