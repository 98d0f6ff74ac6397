"""Wishes for a voice, music or a still, checked against the facts of its model, as `request.py` does for clips."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Generic, TypeVar

from adreel.catalog import Catalog
from adreel.catalog.additions import AudioModel, ImageModel
from adreel.errors import InputError
from adreel.models.api import ClipWarning
from adreel.models.parts import Addition, label_of
from adreel.models.sessions import SceneChanges, Session
from adreel.settings import Settings

Offer = TypeVar("Offer", AudioModel, ImageModel)


@dataclass(frozen=True)
class Purpose(Generic[Offer]):
    """The purpose of a model, the models that meet it, and the AIR of the usual one."""

    name: str
    is_met_by: Callable[[Offer], bool]
    usual: str


@dataclass(frozen=True)
class AdditionOrder:
    """The input of a request for a voice, the music or a still."""

    session: Session
    part: Addition
    changes: SceneChanges
    settings: Settings
    catalog: Catalog


@dataclass
class Wishes(Generic[Offer]):
    """Wishes that a model does not offer: problems by field, which refuse the request, and warnings."""

    part: Addition
    model: Offer
    is_unchecked: bool
    problems: dict[str, str] = field(default_factory=dict)
    warnings: list[ClipWarning] = field(default_factory=list)

    def warn(self, code: str, message: str) -> None:
        """Note a difference between the description and the request."""
        self.warnings.append(ClipWarning(code=code, message=message))

    def refuse(self, name: str, reason: str, *, fact: str) -> None:
        """Note that the model does not offer a field's value; only a warning if `fact` is not documented."""
        if self.is_unchecked or not self.model.is_documented(fact):
            self.warn("notOffered", f"{reason}; it is sent as asked")
        else:
            self.problems.setdefault(name, reason)

    def check(self) -> None:
        """Raise InputError with all problems."""
        if self.problems:
            raise InputError(f"{label_of(self.part)}: {'; '.join(self.problems.values())}", self.problems)


def find_model(
    order: AdditionOrder,
    air: str,
    models: Mapping[str, Offer],
    unknown: Offer,
    purpose: Purpose[Offer],
) -> Wishes[Offer]:
    """Return the wishes of a part with its model; InputError if it can't make the part.

    `unknown` stands for a model that is not in the catalogue. Requests of the setting `unchecked` are sent with it.
    """
    catalog, found = order.catalog, models.get(air)
    wishes = Wishes(order.part, found or unknown, order.settings.catalog == "unchecked")
    suitable = {name: model for name, model in models.items() if purpose.is_met_by(model)}
    close: list[str] = [name for name in get_close_matches(air, list(suitable), cutoff=0.6) if name != air]
    usual = [name for name in dict.fromkeys([*close[:1], purpose.usual]) if name in suitable]
    similar = usual[:2] or list(suitable)[:2]
    advice = " or ".join(suitable[name].title for name in similar)
    problem = ""
    if catalog.is_gone(air):
        problem = f"the model {air!r} is no longer offered by Runware: use {advice}"
    elif found is None:
        problem = (
            f"the model {air!r} is not in the catalogue of {catalog.as_of}: did you mean {advice}? --unchecked sends it"
            " anyway"
        )
    elif not purpose.is_met_by(found):
        problem = f"{found.title} makes no {purpose.name} from words alone: use {advice}"
    elif found.status == "deprecated":
        wishes.warn("deprecatedModel", f"{found.title} is deprecated: use {advice}")
    if problem and wishes.is_unchecked:
        wishes.warn("uncheckedModel", problem)
    elif problem:
        raise InputError(f"{label_of(order.part)}: {problem}", {"model": problem})
    return wishes
