"""Prices by the rates that the catalogue knows. Labels such as "720p, no audio" and "1K" say what a rate is for."""

import math
import re
from typing import Any

from adreel.emulator.clips import DEFAULT_RESOLUTION, Clip, lines_of, seconds_of
from adreel.emulator.outputs import Output
from adreel.emulator.replies import Item
from adreel.emulator.rules import is_sound_known
from adreel.emulator.sounds import Sound
from adreel.emulator.stills import Still, side_of

PRICE_PER_SECOND = 0.05
"""USD where no rate is known for a clip."""
PRICE_PER_CHARACTER = 0.00004
"""USD where no rate is known for a voice."""
PRICE_PER_MINUTE = 0.01
"""USD where no rate is known for music."""
PRICE_PER_STILL = 0.04
"""USD where no rate is known for a still."""
_RESOLUTION = re.compile(r"\d+p|\dk", re.IGNORECASE)
_IN_K = re.compile(r"\b\d+(?:\.\d+)?K\b")
_SIZE = re.compile(r"\b(\d+)x(\d+)\b")
_LENGTH = re.compile(r"(up to )?(\d+) s\b")
_FREE_IMAGES = re.compile(r"beyond the first (\d+)")
_SPECIAL = re.compile(r"\bdraft\b|\bspeed\b|uploaded|of audio|beyond|(?<!no )video input")


def price_of(output: Output, request: Item, model: dict[str, Any] | None, *, per_second: float | None = None) -> float:
    """Return the price of a task in USD. `per_second` replaces the rates of clips, and of nothing else."""
    if isinstance(output, Sound):
        return sound_price(output, model)
    if isinstance(output, Still):
        return still_price(output, request, model)
    seconds = seconds_of(request, model)
    if per_second is not None:
        return round(per_second * seconds, 6)
    # The size of an image decides the shape of a clip, not its price.
    resolution = request.get("resolution") or (None if "width" in request else DEFAULT_RESOLUTION)
    known = is_sound_known(request, model)
    return clip_price(output, model, seconds=seconds, resolution=resolution, is_sound_known=known)


def sound_price(sound: Sound, model: dict[str, Any] | None) -> float:
    """Return the price of a voice or of music in USD. If there are several rates, the dearest counts."""
    amounts = {
        "character": len(sound.text),
        "1000 characters": len(sound.text) / 1000,
        "utf8 byte": len(sound.text.encode()),
        "second": sound.seconds,
        "minute": sound.seconds / 60,
        "output": 1,
    }
    rates: list[dict[str, Any]] = (model or {}).get("prices", [])
    prices = [rate["amount"] * amounts[rate["per"]] for rate in rates if rate["per"] in amounts]
    if not prices:
        by_words = sound.kind == "voice"
        prices = [PRICE_PER_CHARACTER * len(sound.text) if by_words else PRICE_PER_MINUTE * sound.seconds / 60]
    dearest: float = max(prices)
    return round(dearest, 6)


def still_price(still: Still, request: Item, model: dict[str, Any] | None) -> float:
    """Return the price of a still in USD, with its references. If several rates fit, the dearest counts.

    A rate for a size grows with the pixels beyond it. All rates for resolutions fit a request that names no size.
    """
    rates: list[dict[str, Any]] = (model or {}).get("prices", [])
    outputs = [(rate["amount"], rate.get("label", "")) for rate in rates if rate["per"] == "output"]
    sides = sorted({side for _, label in outputs for side in _sides(label)})
    if "width" in request or "resolution" in request:
        pixels = still.width * still.height
        sides = sorted(sides, key=lambda side: abs(math.log(side**2 / pixels)))[:1]
    prices = [
        amount * _growth(label, request)
        for amount, label in outputs
        if not (named := _sides(label)) or set(named) & set(sides)
    ]
    given: float = sum(rate["amount"] * len(still.references) for rate in rates if rate["per"] == "input image")
    dearest: float = max(prices, default=PRICE_PER_STILL)
    return round(dearest + given, 6)


def _sides(label: str) -> list[int]:
    return [side_of(name) for name in _IN_K.findall(label)]


def _growth(label: str, request: Item) -> float:
    size = _SIZE.search(label)
    if size is None or "width" not in request:
        return 1
    pixels: int = request["width"] * request["height"]
    return max(1, pixels / (int(size[1]) * int(size[2])))


def clip_price(
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
