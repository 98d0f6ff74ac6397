"""Prices of clips, by the rates that the catalogue knows. Labels such as "720p, no audio" say what a rate is for."""

import math
import re
from typing import Any

from adreel.emulator.clips import Clip, lines_of

PRICE_PER_SECOND = 0.05
"""USD where no rate is known for a clip."""
_RESOLUTION = re.compile(r"\d+p|\dk", re.IGNORECASE)
_LENGTH = re.compile(r"(up to )?(\d+) s\b")
_SPECIAL = re.compile(r"\bdraft\b|\bspeed\b|uploaded|of audio|beyond|(?<!no )video input")


def price_of(clip: Clip, model: dict[str, Any] | None, *, seconds: float, resolution: str | None) -> float:
    """Return the price of a clip in USD. If several rates fit, the dearest counts."""
    fitting = [
        rate
        for rate in (model or {}).get("prices", ())
        if rate["per"] in {"second", "output"} and _fits(rate.get("label", ""), clip, seconds)
    ]
    # A clip of fewer pixels than any rate is for costs as much as the smallest.
    lines = lines_of(resolution) if resolution else math.sqrt(clip.width * clip.height * 9 / 16)
    known = sorted({found for rate in fitting for found in _resolutions(rate)})
    nearest = min(known, key=lambda name: abs(math.log(lines_of(name) / lines)), default="")
    prices = [
        rate["amount"] * (seconds if rate["per"] == "second" else 1)
        for rate in fitting
        if nearest in _resolutions(rate) or not _resolutions(rate)
    ]
    return round(max(prices, default=PRICE_PER_SECOND * seconds), 6)


def _resolutions(rate: dict[str, Any]) -> list[str]:
    return [found.lower() for found in _RESOLUTION.findall(rate.get("label", ""))]


def _fits(label: str, clip: Clip, seconds: float) -> bool:
    """Whether a rate is for such a clip, as far as its label tells."""
    if _SPECIAL.search(label):
        return False
    if "audio" in label and bool(re.search(r"\b(no|without) audio", label)) is clip.sound:
        return False
    given = "reference" if clip.references else "image" if clip.first or clip.last else "text"
    kinds = re.findall(r"\b(text|image|reference)\b", label)
    if kinds and given not in kinds:
        return False
    length = _LENGTH.search(label)
    return length is None or (seconds <= int(length[2]) if length[1] else seconds == int(length[2]))
