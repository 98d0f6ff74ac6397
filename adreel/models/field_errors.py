"""Validation errors in words: each field is named like its scene, with what was probably meant."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from adreel.models.documents import SIZE_ADVICE
from adreel.models.scenarios import field_place
from adreel.text import closest

SHOWN_LENGTH = 100


def describe(error: ValidationError, data: Any = None, model: type[BaseModel] | None = None) -> str:
    """Return a validation error as one sentence that names each field."""
    return "; ".join(f"{place}: {reason}" if place else reason for _, place, reason in field_errors(error, data, model))


def field_errors(
    error: ValidationError, data: Any = None, model: type[BaseModel] | None = None
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield the steps to each wrong field, its place in words, and the reason.

    `data` is what was validated: it tells the scenes' names. `model` knows the fields that an unknown one may mean.
    """
    for item in error.errors():
        steps, given = item["loc"], item["input"]
        reason = item["msg"].removeprefix("Value error, ")
        if item["type"] == "string_type" and given is None:
            reason += ", and this is empty: leave the field out, or put text in quotes"
        elif item["type"] == "string_type" and isinstance(given, bool | int | float):
            reason += f", and this is read as {json.dumps(given)}: put it in quotes"
        elif steps[-1:] == ("size",) and isinstance(given, str):
            reason += f"; {given!r} is {'an aspect ratio' if ':' in given else 'not a size'}: {SIZE_ADVICE}"
        elif item["type"] in {"literal_error", "enum"}:
            choices = re.findall(r"'([^']*)'", item["ctx"]["expected"])
            reason = f"{shortened(str(given))!r} is not one of {', '.join(choices)}{_meant(str(given), choices)}"
        elif item["type"] == "too_long" and isinstance(given, list):
            reason = f"{len(given)} are given, at most {item['ctx']['max_length']} are allowed"
        elif item["type"] == "extra_forbidden" and model:
            reason = f"there is no such field{_meant(str(steps[-1]), _fields(model, steps[:-1]))}"
        yield steps, field_place(steps, data), reason


def shortened(text: str) -> str:
    """Return the beginning of a text for messages: a data URI in place of an image can have millions of letters."""
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."


def _meant(given: str, choices: Sequence[str]) -> str:
    """Return the choice that was probably meant as a question, for an aspect the nearest one."""
    aspects = {choice: Fraction(choice.replace(":", "/")) for choice in choices if re.fullmatch(r"\d+:\d+", choice)}
    if aspects and (shape := re.fullmatch(r"([1-9]\d{0,4})\D([1-9]\d{0,4})", given)):
        ratio = Fraction(int(shape[1]), int(shape[2]))
        similar = min(aspects, key=lambda name: abs(math.log(aspects[name] / ratio)))
    else:
        similar = closest(given, choices)
    return f": did you mean {similar}?" if similar else ""


def _fields(model: type[BaseModel], steps: Sequence[str | int]) -> list[str]:
    """Return the names of the fields of a part of a model; none if it is no model."""

    def models(annotation: Any) -> Iterator[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        for part in get_args(annotation):
            yield from models(part)

    for step in steps:
        if isinstance(step, str):
            found = model.model_fields.get(step)
            inner = next(models(found.annotation), None) if found else None
            if inner is None:
                return []
            model = inner
    return [field.alias or name for name, field in model.model_fields.items()]
