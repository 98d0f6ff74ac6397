"""The models as a form offers them: by name, with their price per second and its date."""

from dataclasses import dataclass

from adreel.catalog.selection import Needs
from adreel.models.api import ModelView
from adreel.service import Service


@dataclass(frozen=True)
class ModelChoices:
    """The models that can be ordered, the cheapest first, and the AIR of the settings' model."""

    models: list[ModelView]
    default: str

    @classmethod
    def of(cls, service: Service) -> "ModelChoices":
        """Read the catalogue."""
        return cls(service.list_models(Needs()).models, service.settings.model)

    def note(self, air: str) -> str:
        """Return the name and price of a model; empty if it is not in the catalogue."""
        return next((model_label(model) for model in self.models if model.model == air), "")


def model_label(model: ModelView) -> str:
    """Return the name of a model and its least price."""
    if model.usd_per_second is None:
        return f"{model.name}, price unknown"
    dated = f" ({model.priced_on:%-d %b %Y})" if model.priced_on else ""
    return f"{model.name}, from {model.usd_per_second:.3g} USD per second{dated}"
