"""Selection of models by the needs of a scene. Whether a model fits can be unknown."""

from collections.abc import Iterable
from dataclasses import dataclass

from adreel.catalog import Catalog, least_price
from adreel.catalog.facts import Duration, Sound, VideoModel
from adreel.catalog.sizes import ASPECTS, has_aspect, resolutions_of


@dataclass(frozen=True)
class Needs:
    """Requirements of a scene for its model. None and False require nothing."""

    first_frame: bool = False
    last_frame: bool = False
    references: bool = False
    sound: bool | None = None
    aspect: str | None = None
    resolution: str | None = None
    seconds: float | None = None
    max_price: float | None = None

    def price(self, model: VideoModel) -> float | None:
        """Return the least USD per second of a clip that is needed; None if unknown."""
        return least_price(model, sound=self.sound, resolution=self.resolution, seconds=self.seconds)


def fits(model: VideoModel, needs: Needs) -> bool | None:
    """Whether a model offers all that is needed; None if that is not known."""
    answers: list[bool | None] = []
    if needs.first_frame:
        answers.append(model.has_frame("first"))
    if needs.last_frame:
        answers.append(model.has_frame("last"))
    if needs.references:
        answers.append(model.takes_references)
    if needs.references and (needs.first_frame or needs.last_frame) and model.frames_with_references is False:
        answers.append(False)
    if needs.sound is not None:
        answers.append(model.has_sound if needs.sound else _can_be_silent(model))
    if needs.aspect:
        answers.append(_offers_aspect(model, needs.aspect))
    if needs.resolution:
        answers.append(_offers_resolution(model, needs.resolution))
    if needs.seconds:
        answers.append(_offers_duration(model, needs.seconds, has_frames=needs.first_frame or needs.last_frame))
    if needs.max_price is not None:
        price = needs.price(model)
        answers.append(None if price is None else price <= needs.max_price)
    return False if False in answers else None if None in answers else True


def select(catalog: Catalog, needs: Needs) -> list[VideoModel]:
    """Return the usable models that are known to fit, the cheapest first and those without a known price last."""
    return cheapest_first((model for model in catalog.usable() if fits(model, needs)), needs)


def cheapest_first(models: Iterable[VideoModel], needs: Needs) -> list[VideoModel]:
    """Sort models by their price for what is needed; unknown prices come last."""
    prices = [(needs.price(model), model) for model in models]
    return [model for price, model in sorted(prices, key=lambda each: (each[0] is None, each[0] or 0, each[1].air))]


def aspects(model: VideoModel) -> list[str]:
    """Return the aspects of a model's sizes; empty if its sizes are not known."""
    return [aspect for aspect in ASPECTS if any(has_aspect(size, aspect) for size in model.sizes or ())]


def resolutions(model: VideoModel) -> tuple[str, ...]:
    """Return the resolutions of a model, by its own names or by its sizes; none if unknown."""
    return model.resolutions or tuple(resolutions_of(model.sizes or ()))


def _can_be_silent(model: VideoModel) -> bool | None:
    if isinstance(model.sound, Sound):
        return True if model.sound.parameter or model.sound.default is False else None
    return True if model.sound == "absent" else None


def _offers_aspect(model: VideoModel, aspect: str) -> bool | None:
    if model.sizes:
        return any(has_aspect(size, aspect) for size in model.sizes)
    return False if model.width_height == "absent" and aspect != "16:9" else None


def _offers_resolution(model: VideoModel, resolution: str) -> bool | None:
    offered = resolutions(model)
    return resolution.lower() in map(str.lower, offered) if offered else None


def _offers_duration(model: VideoModel, seconds: float, *, has_frames: bool) -> bool | None:
    if has_frames and model.frame_durations and seconds not in model.frame_durations:
        return False
    if not isinstance(model.duration, Duration):
        return False if model.duration == "absent" else None
    is_limited = model.duration.values is not None or model.duration.max is not None
    return model.duration.offers(seconds) and (is_limited or None)
