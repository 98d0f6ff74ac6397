"""Pages that Runware publishes about its models: the index of all models, the listing with dates, and prices.

Each function takes the JSON of a page, and raises ValueError if it has another shape.
"""

import re
from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, TypeAdapter, ValidationError

from adreel.catalog.facts import Rate

LIVE = frozenset({"live", "api-only"})
UNITS = {"durationSecond": "second"}
MAX_LETTERS = 200

T = TypeVar("T")


def one_line(text: str) -> str:
    """Return a text without control characters and direction overrides, and not longer than a name is."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_LETTERS]).strip()


Line = Annotated[str, AfterValidator(one_line)]


class Page(BaseModel, frozen=True, extra="ignore", strict=True):
    """Base of what is read from a page; members that adreel does not know are ignored."""


class IndexEntry(Page):
    """A model in the index of the documentation. The index has models of all kinds."""

    slug: str = Field(validation_alias=AliasChoices("id", "slug"), pattern=r"^[\w.-]+$")
    air: Line | None = None
    name: Line | None = None
    status: Line | None = None
    capabilities: list[Line] | None = None


class _PublishedRate(Page):
    amount: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: Line
    label: Line | None = None


class ListedModel(Page):
    """A model in the listing of the content API."""

    air: Line | None = None
    model: Line | None = None
    status: Line | None = None
    replaced_by: Line | None = Field(None, alias="replacedBy")
    deactivates_at: str | None = Field(None, alias="deactivatesAt")
    released_at: str | None = Field(None, alias="releasedAt")
    capabilities: list[Line] | None = None
    published_rates: list[_PublishedRate] | None = Field(None, alias="pricingRates")

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The prices; none if the listing has none for the model."""
        return _rates(self.published_rates)

    @property
    def deactivates_on(self) -> date | None:
        """The day from which the model is off."""
        return _day(self.deactivates_at)

    @property
    def released(self) -> date | None:
        """The day of the release."""
        return _day(self.released_at)


class _Pricing(Page):
    air: str
    rates: list[_PublishedRate] | None = Field(None, alias="pricingRates")


def parse_index(document: Any) -> list[IndexEntry]:
    """Read the index of all models."""
    entries = validated(list[IndexEntry], document)
    if not entries:
        raise ValueError("it is empty")
    return entries


def parse_listing(document: Any) -> dict[str, ListedModel]:
    """Read the listing of the content API, by AIR. It may be a list, or a page with `items`."""
    if isinstance(document, dict) and "items" in document:
        document = document["items"]
    models = {model.air: model for model in validated(list[ListedModel], document) if model.air}
    if not models:
        raise ValueError("it lists no models")
    airs = {model.model: air for air, model in models.items()}
    for model in models.values():
        _ = model.deactivates_on, model.released
    # A replacement may be named by its slug.
    return {
        air: model.model_copy(update={"replaced_by": airs.get(model.replaced_by, model.replaced_by)})
        for air, model in models.items()
    }


def parse_pricing(document: Any, air: str) -> tuple[Rate, ...]:
    """Read the prices of a model; none if it has no rates."""
    pricing = validated(_Pricing, document)
    if pricing.air != air:
        raise ValueError(f"it has the prices of {pricing.air!r}")
    return _rates(pricing.rates)


def plain_capabilities(names: list[str] | None) -> frozenset[str]:
    """Return capabilities without their namespace: text-to-video for io:text-to-video."""
    return frozenset(name.rpartition(":")[2] for name in names or ())


def renders_video(capabilities: frozenset[str]) -> bool:
    """Whether capabilities name a video as the output."""
    return any(name.endswith("-to-video") for name in capabilities)


def status_of(*statuses: str | None) -> str | None:
    """Return live or deprecated, if one of a model's pages says so; deprecated wins."""
    found = {status.lower() for status in statuses if status}
    return "deprecated" if "deprecated" in found else "live" if found & LIVE else None


def _rates(published: list[_PublishedRate] | None) -> tuple[Rate, ...]:
    return tuple(
        Rate(amount=rate.amount, per=_unit(rate.unit), label=_label(rate.label or "")) for rate in published or ()
    )


def _unit(name: str) -> str:
    """Return a unit in words: second for durationSecond, input image for inputImage."""
    return UNITS.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _label(text: str) -> str:
    return re.sub(r"\s*/\s*", " or ", re.sub(r"\s*·\s*", ", ", text)).strip()


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text[:10]) if text else None


def validated(kind: type[T], document: Any) -> T:
    """Read a document as a type; the ValueError names the first wrong place."""
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
