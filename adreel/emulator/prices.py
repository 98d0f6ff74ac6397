"""Prices of clips, by the rates that the catalogue knows. Labels such as "720p, no audio" say what a rate is for."""

import math
import re
from typing import Any

from adreel.emulator.clips import Clip, lines_of

PRICE_PER_SECOND = 0.05
"""USD where no rate is known for a clip."""
_RESOLUTION = re.compile(r"\d+p|\dk", re.IGNORECASE)
_LENGTH = re.compile(r"(up to )?(\d+) s\b")
_FREE_IMAGES = re.compile(r"beyond the first (\d+)")
_SPECIAL = re.compile(r"\bdraft\b|\bspeed\b|uploaded|of audio|beyond|(?<!no )video input")


def price_of(
    clip: Clip, model: dict[str, Any] | None, *, seconds: float, resolution: str | None, is_sound_known: bool = True
) -> float:
    """Return the price of a clip in USD. If several rates fit, the dearest counts."""
    rates: list[dict[str, Any]] = (model or {}).get("prices", [])
    fitting = [
        rate
        for rate in rates
        if rate["per"] in {"second", "output"}
        and _fits(rate.get("label", ""), clip, seconds, is_sound_known=is_sound_known)
    ]
    if resolution:
        side = area = lines_of(resolution)
    else:
        # A square has the lines of its side, or those of a wide clip with as many pixels. Models differ.
        side, area = min(clip.width, clip.height), math.isqrt(clip.width * clip.height * 9 // 16)

    def distance(name: str) -> float:
        return abs(math.log(lines_of(name) / side)) + 2 * abs(math.log(lines_of(name) / area))

    # A clip of fewer pixels than any rate is for costs as much as the smallest.
    known = sorted({found for rate in fitting for found in _resolutions(rate)})
    nearest = min(known, key=distance, default="")
    prices = [
        rate["amount"] * (seconds if rate["per"] == "second" else 1)
        for rate in fitting
        if nearest in _resolutions(rate) or not _resolutions(rate)
    ]
    images = len(clip.references) + bool(clip.first) + bool(clip.last)
    extra: float = sum(
        rate["amount"] * max(0, images - int(found[1]))
        for rate in rates
        if rate["per"] == "input image" and (found := _FREE_IMAGES.search(rate["label"]))
    )
    base: float = max(prices, default=PRICE_PER_SECOND * seconds)
    return round(base + extra, 6)


def _resolutions(rate: dict[str, Any]) -> list[str]:
    return [found.lower() for found in _RESOLUTION.findall(rate.get("label", ""))]


def _fits(label: str, clip: Clip, seconds: float, *, is_sound_known: bool) -> bool:
    """Whether a rate is for such a clip, as far as its label tells."""
    if _SPECIAL.search(label):
        return False
    if is_sound_known and "audio" in label and bool(re.search(r"\b(no|without) audio", label)) is clip.sound:
        return False
    given = "reference" if clip.references else "image" if clip.first or clip.last else "text"
    kinds = re.findall(r"\b(text|image|reference)\b", label)
    if kinds and given not in kinds:
        return False
    length = _LENGTH.search(label)
    return length is None or (seconds <= int(length[2]) if length[1] else seconds == int(length[2]))
