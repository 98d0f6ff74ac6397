"""Prices of voices, music and stills by the rates of the catalogue. Of several possible rates, the dearest counts."""

import math
import re

from adreel.catalog.additions import AudioModel, ImageModel
from adreel.catalog.facts import Rate
from adreel.models.spend import to_micros
from adreel.models.takes import MusicRequest, StillRequest, VoiceRequest

_TIER = re.compile(r"\b(\d+(?:\.\d+)?)K\b")
_SIZE = re.compile(r"\b(\d+)x(\d+)\b")


def listed_audio_price(request: VoiceRequest | MusicRequest, model: AudioModel) -> int | None:
    """Return the price of a narration or of music in micro-dollars; None if no rate fits."""
    find = _of_text if isinstance(request, VoiceRequest) else _of_seconds
    prices = [price for rate in model.prices if (price := find(rate, request)) is not None]
    return to_micros(max(prices)) if prices else None


def listed_still_price(request: StillRequest, model: ImageModel) -> int | None:
    """Return the price of a still in micro-dollars; None if no rate fits."""
    outputs = [rate for rate in model.prices if rate.per == "output"]
    tiers = {tier for rate in outputs if (tier := _tier(rate)) is not None}
    wanted = _wanted_tier(request, tiers)
    prices = [_of_pixels(rate, request) for rate in outputs if wanted is None or _tier(rate) in {wanted, None}]
    if not prices:
        return None
    images = len(request.references or ())
    return to_micros(max(prices) + sum(rate.for_images(images) for rate in model.prices))


def _of_text(rate: Rate, request: VoiceRequest | MusicRequest) -> float | None:
    text = request.text if isinstance(request, VoiceRequest) else ""
    counts = {
        "character": len(text),
        "1000 characters": len(text) / 1000,
        "utf8 byte": len(text.encode()),
        "output": 1,
    }
    return rate.amount * counts[rate.per] if rate.per in counts else None


def _of_seconds(rate: Rate, request: VoiceRequest | MusicRequest) -> float | None:
    if rate.per == "output":
        return rate.amount
    lengths = {"second": 1, "minute": 60}
    if rate.per not in lengths or request.duration is None:
        return None
    return rate.amount * request.duration / lengths[rate.per]


def _of_pixels(rate: Rate, request: StillRequest) -> float:
    """Return the price of a picture. A rate for one size grows with the pixels beyond it."""
    size = _SIZE.search(rate.label)
    if size is None or not (request.width and request.height):
        return rate.amount
    return rate.amount * max(1, request.width * request.height / (int(size[1]) * int(size[2])))


def _wanted_tier(request: StillRequest, tiers: set[float]) -> float | None:
    """Return the resolution among those of the rates, in K, that a request is priced by; None if it is not known."""
    if not tiers:
        return None
    if request.width and request.height:
        side = math.sqrt(request.width * request.height) / 1024
    elif named := _TIER.search(request.resolution or ""):
        side = float(named[1])
    else:
        return None
    return min(tiers, key=lambda tier: abs(math.log(tier / side)))


def _tier(rate: Rate) -> float | None:
    found = _TIER.search(rate.label)
    return float(found[1]) if found else None
