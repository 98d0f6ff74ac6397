"""The models as a form offers them: by name, with their price per second and its date."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adreel.catalog.selection import Needs
from adreel.models.model_views import ModelView
from adreel.models.scenarios import Scenario
from adreel.service import Service

USUAL_SECONDS = list(range(1, 16))
"""Lengths that a form offers for a model whose lengths are not published."""


@dataclass(frozen=True)
class ModelChoices:
    """The models that can be ordered, the cheapest first, and the AIR of the settings' model."""

    models: list[ModelView]
    default: str

    @classmethod
    def of(cls, service: Service) -> "ModelChoices":
        """Read the catalogue."""
        return cls(service.list_models(Needs()).models, service.settings.model)

    def find(self, air: str) -> ModelView | None:
        """Return a model by its AIR; None if it is not in the catalogue."""
        return next((model for model in self.models if model.model == air), None)

    def note(self, air: str) -> str:
        """Return the name and price of a model; empty if it is not in the catalogue."""
        model = self.find(air)
        return model_label(model) if model else ""

    def chosen(self, fields: Mapping[str, str], scenario: Scenario | None = None) -> ModelView | None:
        """Return the model of a scene in the form of an ad, or that of all scenes."""
        own = fields.get(f"{scenario}.model", "").strip() if scenario else ""
        return self.find(own or fields.get("model", "").strip() or self.default)

    def seconds(self, fields: Mapping[str, str], scenario: Scenario) -> list[int]:
        """Return the lengths that a form offers for a scene."""
        model = self.chosen(fields, scenario)
        return (model and model.seconds) or USUAL_SECONDS


def offer(model: ModelView) -> dict[str, Any]:
    """Return what the script of a form needs to know of a model; null is unknown."""
    return {
        "aspects": model.aspects,
        "resolutions": model.resolutions,
        "seconds": model.seconds or USUAL_SECONDS,
        "sound": model.sound,
        "note": model_offer(model),
    }


def model_offer(model: ModelView) -> str:
    """Return in words what a model offers: its shapes and lengths, and what it takes and makes."""
    parts = [model.durations or "any length", ", ".join(model.aspects or []) or "any shape"]
    parts.append({True: "sound", False: "no sound", None: ""}[model.sound])
    parts += ["first frame"] if model.first_frame else []
    parts += ["references"] if model.references else []
    return " · ".join(filter(None, parts))


def model_label(model: ModelView) -> str:
    """Return the name of a model and its least price."""
    if model.usd_per_second is None:
        return f"{model.name}, price unknown"
    dated = f" ({model.priced_on:%-d %b %Y})" if model.priced_on else ""
    return f"{model.name}, from {model.usd_per_second:.3g} USD per second{dated}"
