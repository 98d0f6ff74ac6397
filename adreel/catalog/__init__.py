"""The catalogue: what each model offers and costs. It is data with a source and a date (models.json)."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel

from adreel.catalog.additions import AudioModel, ImageModel, Sourced
from adreel.catalog.facts import VideoModel


class Gone(BaseModel, frozen=True, extra="ignore"):
    """A model that Runware no longer offers."""

    slug: str
    gone_by: date
    replaced_by: str | None = None


@dataclass(frozen=True)
class Catalog:
    """The models of a day, by their AIR (creator:family@version)."""

    as_of: date
    source: str
    models: dict[str, VideoModel]
    gone: dict[str, Gone]
    audio: dict[str, AudioModel]
    images: dict[str, ImageModel]

    @classmethod
    def parse(cls, document: Any) -> "Catalog":
        """Read a catalogue document; ValueError if it has another shape.

        A document of an earlier version has no models of audio and images: it gets those of this release.
        """
        if not isinstance(document, dict) or document.get("schema_version") != 1:
            raise ValueError("it is not a catalogue of version 1")
        models = {air: VideoModel(air=air, **facts) for air, facts in document["models"].items()}
        gone = {air: Gone(**facts) for air, facts in document["gone"].items()}
        audio, images = document.get("audio"), document.get("images")
        return cls(
            date.fromisoformat(document["as_of"]),
            str(document["source"]),
            models,
            gone,
            packaged().audio if audio is None else {air: AudioModel(air=air, **facts) for air, facts in audio.items()},
            packaged().images
            if images is None
            else {air: ImageModel(air=air, **facts) for air, facts in images.items()},
        )

    def document(self) -> dict[str, Any]:
        """Return the catalogue as JSON values."""

        def facts(models: Mapping[str, VideoModel | Sourced]) -> dict[str, Any]:
            return {
                air: model.model_dump(mode="json", exclude={"air"}, exclude_defaults=True)
                for air, model in models.items()
            }

        gone = {air: model.model_dump(mode="json", exclude_none=True) for air, model in self.gone.items()}
        return {
            "schema_version": 1,
            "as_of": self.as_of.isoformat(),
            "source": self.source,
            "models": facts(self.models),
            "gone": gone,
            "audio": facts(self.audio),
            "images": facts(self.images),
        }

    def is_gone(self, air: str, today: date | None = None) -> bool:
        """Whether Runware no longer offers a model that it once had."""
        model = self.models.get(air)
        if model is None:
            return air in self.gone
        return model.deactivates_on is not None and model.deactivates_on <= (today or datetime.now(UTC).date())

    def replacement(self, air: str) -> str | None:
        """Return the AIR that replaces a model, if Runware names one."""
        known = self.models.get(air) or self.gone.get(air)
        return known.replaced_by if known else None

    def usable(self) -> list[VideoModel]:
        """Return the models that render scenes and are not known to be gone or deprecated."""
        return [
            model
            for air, model in self.models.items()
            if model.kind == "generate" and model.status != "deprecated" and not self.is_gone(air)
        ]

    def alternatives(self, offers: Callable[[VideoModel], bool], count: int = 2) -> list[VideoModel]:
        """Return usable models that offer something: live ones first, then the cheapest."""
        found = [model for model in self.usable() if offers(model)]
        return sorted(found, key=lambda model: (model.status != "live", *by_price(model)))[:count]

    def similar(self, air: str, count: int = 2) -> list[str]:
        """Return the AIRs of usable models that look like a mistyped or retired one."""
        usable = {model.air: model for model in self.usable()}
        family = [name for name in usable if name.partition("@")[0] == air.partition("@")[0]]
        creator = [name for name in usable if name.partition(":")[0] == air.partition(":")[0]]
        close = get_close_matches(air, usable, n=count, cutoff=0.6)
        return list(dict.fromkeys([*close, *family, *creator]))[:count]


def by_price(model: VideoModel) -> tuple[float, str]:
    """Sort key: the cheapest 5 s at the default resolution first, unknown prices last."""
    price = least_price(model)
    return (price if price is not None else float("inf"), model.air)


def least_price(
    model: VideoModel, *, sound: bool | None = None, resolution: str | None = None, seconds: float | None = None
) -> float | None:
    """Return the least USD per second of a model's clips with these properties; None if no price is known."""
    found = [
        price
        for rate in model.prices
        if (sound is None or rate.sound is None or rate.sound is sound)
        and (resolution is None or not rate.resolutions or resolution.lower() in rate.resolutions)
        and (price := rate.per_second(seconds or _length(model))) is not None
    ]
    return min(found) if found else None


def _length(model: VideoModel) -> float:
    if model.duration is None or model.duration == "absent" or model.duration.offers(5):
        return 5
    return min(model.duration.values) if model.duration.values else model.duration.min or 5


def named(models: Iterable[VideoModel]) -> str:
    """Return names and AIRs of models as text for people."""
    return " or ".join(f"{model.name} ({model.air})" for model in models)


@cache
def packaged() -> Catalog:
    """Return the catalogue of this release."""
    return Catalog.parse(json.loads((files("adreel.catalog") / "models.json").read_text(encoding="utf-8")))
