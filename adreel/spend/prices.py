"""The price of a part before it is bought: the highest bill of such parts, else the catalogue's rates, else unknown.

Where the facts leave several rates possible, the dearest counts, so that a cap holds.
"""

from datetime import date
from typing import Any

from adreel.catalog import Catalog
from adreel.catalog.facts import Rate, Sound, VideoModel
from adreel.catalog.sizes import DEFAULT_RESOLUTION, RESOLUTIONS, nearest_resolution, resolution_of
from adreel.catalog.stored import load_catalog
from adreel.models.spend import Price, to_micros
from adreel.models.takes import MusicRequest, StillRequest, TaskRequest, VoiceRequest
from adreel.spend.addition_prices import listed_audio_price, listed_still_price
from adreel.spend.bills import load_bills
from adreel.storage import Storage


def price(request: TaskRequest, storage: Storage, *, given: int | None = None) -> Price:
    """Return the price of one clip, voice, music or still, in micro-dollars. `given` is used if it is unknown."""
    if bill := load_bills(storage, request.model).find(request):
        return Price(amount=bill.amount_for(request), source="billed", as_of=bill.billed_on)
    catalog = load_catalog(storage)
    amount, priced_on = _listed(request, catalog)
    if amount is not None:
        return Price(amount=amount, source="listed", as_of=priced_on or catalog.as_of)
    if given is not None:
        return Price(amount=given, source="given")
    return Price(amount=None, source="unknown")


def _listed(request: TaskRequest, catalog: Catalog) -> tuple[int | None, date | None]:
    """Return the price of a request by the catalogue, and its date."""
    if isinstance(request, VoiceRequest | MusicRequest):
        audio = catalog.audio.get(request.model)
        return (listed_audio_price(request, audio), audio.priced_on) if audio else (None, None)
    if isinstance(request, StillRequest):
        image = catalog.images.get(request.model)
        return (listed_still_price(request, image), image.priced_on) if image else (None, None)
    model = catalog.models.get(request.model)
    return (listed_price(request, model), model.priced_on) if model else (None, None)


def of_emulator(found: Price | None) -> Price:
    """Mark a price as that of a local render, which costs no money."""
    return Price(amount=None, source="emulator") if found is None else found.model_copy(update={"source": "emulator"})


def listed_price(request: TaskRequest, model: VideoModel) -> int | None:
    """Return the price of a clip by the rates of its model, in micro-dollars; None if no rate fits."""
    resolution = _resolution(request, model.prices)
    given = "reference" if request.references else "image" if request.first_frame or request.last_frame else "text"
    has_sound = _has_sound(request, model)
    prices = [
        price
        for rate in model.prices
        if (price := rate.per_clip(request.duration)) is not None
        and (not rate.resolutions or resolution in rate.resolutions)
        and (not rate.inputs or given in rate.inputs)
        and (has_sound is None or rate.sound is None or rate.sound is has_sound)
    ]
    if not prices:
        return None
    images = len(request.named_images())
    return to_micros(max(prices) + sum(rate.for_images(images) for rate in model.prices))


def _resolution(request: TaskRequest, rates: tuple[Rate, ...]) -> str:
    """Return the resolution among those of the rates that is nearest to the request's."""
    known = sorted({name for rate in rates for name in rate.resolutions} & RESOLUTIONS.keys())
    if not known:
        return ""
    if request.width and request.height:
        return resolution_of(f"{request.width}x{request.height}", known)
    wanted = (request.resolution or DEFAULT_RESOLUTION).lower()
    return nearest_resolution(wanted, known) if wanted in RESOLUTIONS else wanted


def _has_sound(request: TaskRequest, model: VideoModel) -> bool | None:
    """Whether the clip has sound; None if neither the request nor a documented fact says it."""
    if not isinstance(model.sound, Sound):
        return False if model.sound == "absent" else None
    switch: Any = request.parameters if model.sound.parameter else None
    for step in (model.sound.parameter or "").split("."):
        switch = switch.get(step) if isinstance(switch, dict) else None
    if isinstance(switch, bool):
        return switch
    return model.sound.default if model.is_documented("sound") else None
