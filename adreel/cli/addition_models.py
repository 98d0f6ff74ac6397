"""Tables and details of the models for stills, speech and music."""

from collections.abc import Iterable

from adreel.catalog import Catalog
from adreel.catalog.additions import AudioModel, ImageModel
from adreel.catalog.stored import load_catalog
from adreel.cli.display import print_json, print_line, print_table
from adreel.cli.models import EVIDENCE, UNKNOWN
from adreel.models.spend import to_usd
from adreel.models.takes import StillRequest
from adreel.records import Records
from adreel.settings import Settings
from adreel.spend.addition_prices import listed_still_price

NO_FACTS = {"air", "slug", "name", "creator", "note", "evidence", "prices", "priced_on", "voices", "voice_names"}
"""Fields that are shown in their own way."""


def show_still_models(*, as_json: bool) -> None:
    """List the image models that make a picture from words, the cheapest first."""
    settings = Settings.load()
    catalog = load_catalog(Records.of(settings).storage)
    usable = [model for model in catalog.images.values() if model.is_painter and model.status != "deprecated"]
    prices = {model.air: _price(model) for model in usable}
    shown = sorted(usable, key=lambda model: (prices[model.air] is None, prices[model.air] or 0, model.air))
    if as_json:
        entries = [{"price": prices[model.air]} | model.model_dump(mode="json") for model in shown]
        print_json({"as_of": catalog.as_of, "models": entries})
        return
    rows = [(model.air, model.name, _usd(prices[model.air]), _references(model), _sizes(model)) for model in shown]
    print_table(("AIR", "name", "USD", "references", "sizes"), rows)
    print_line(f"{len(shown)} models, the cheapest first. USD is for a still of 1280x720. {UNKNOWN} is not known.")
    print_line(f"The default is {settings.still_model}.")
    print_line(f"Prices are from public pages, not from invoices. Catalogue of {catalog.as_of}: {catalog.source}.")


def print_addition(model: AudioModel | ImageModel, catalog: Catalog) -> None:
    """Print everything that is known about a model of speech, music, sounds or images."""
    print_line(f"{model.title} by {model.creator}")
    facts = model.model_dump(mode="json", exclude=NO_FACTS, exclude_defaults=True)
    rows = [
        (name.replace("_", " "), EVIDENCE.get(model.evidence_of(name), "public pages"), _text(value))
        for name, value in facts.items()
    ]
    print_table(("fact", "source", "value"), rows)
    if isinstance(model, AudioModel) and model.voices:
        print_line(f"`adreel voices --model {model.air}` lists its {sum(map(len, model.voices.values()))} voices.")
    if model.prices:
        print_table(("USD", "per", "for"), [(f"{rate.amount:g}", rate.per, rate.label) for rate in model.prices])
        source = EVIDENCE.get(model.evidence_of("prices"), "public pages")
        print_line(f"Prices of {model.priced_on}, from {source}, not from an invoice.")
    else:
        print_line("No price is known.")
    if model.note:
        print_line(f"Note: {model.note}.")
    print_line(f"Catalogue of {catalog.as_of}: {catalog.source}.")


def _price(model: ImageModel) -> float | None:
    return to_usd(listed_still_price(StillRequest(model=model.air, prompt="", width=1280, height=720), model))


def _usd(price: float | None) -> str:
    return UNKNOWN if price is None else f"{price:.4f}"


def _references(model: ImageModel) -> str:
    if model.references is not None:
        return str(model.references)
    return "no" if model.inputs == "absent" else UNKNOWN


def _sizes(model: ImageModel) -> str:
    if model.size_limits:
        return f"any of {model.size_limits.min} to {model.size_limits.max} pixels a side"
    known = [*(model.resolutions or ()), *([f"{len(model.sizes)} sizes"] if model.sizes else [])]
    return ", ".join(known) or UNKNOWN


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(each)}" for name, each in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)
