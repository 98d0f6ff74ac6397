"""A newer catalogue: the one so far, with what Runware's pages tell. What they do not tell keeps its old evidence."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from adreel.catalog import Catalog, Gone
from adreel.catalog.additions import AudioModel, ImageModel
from adreel.catalog.facts import Duration, Rate, VideoModel
from adreel.catalog.published import IndexEntry, ListedModel, renders_video, status_of
from adreel.catalog.schemas import Schema

Addition = TypeVar("Addition", AudioModel, ImageModel)

SOURCE = "Runware's public index, schemas and prices; what they do not tell is from "


@dataclass(frozen=True)
class ModelPages:
    """One model as Runware publishes it."""

    entry: IndexEntry
    listed: ListedModel | None
    schema: Schema
    rates: tuple[Rate, ...]


@dataclass
class Changes:
    """The differences between two catalogues, as text by AIR."""

    prices: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)


def update_model(air: str, old: VideoModel | None, pages: ModelPages, today: date) -> VideoModel:
    """Return a model with what its pages tell; ValueError if that is no valid model."""
    entry, listed, schema = pages.entry, pages.listed, pages.schema
    told = dict(schema.facts)
    if renders_video(schema.capabilities) and (old is None or old.kind == "generate"):
        told["text_to_video"] = "text-to-video" in schema.capabilities
    if old and _is_limited(old.duration) and isinstance(told.get("duration"), Duration):
        # A schema that only names the type of the number does not tell the durations.
        told = told if _is_limited(told["duration"]) else {name: told[name] for name in told.keys() - {"duration"}}
    evidence = dict.fromkeys(told, "schema")
    if status := status_of(entry.status, schema.status, listed.status if listed else None):
        told["status"], evidence["status"] = status, "content_api" if listed and listed.status else "schema"
    if listed:
        told |= {"deactivates_on": listed.deactivates_on, "replaced_by": listed.replaced_by}
        evidence |= {"deactivates_on": "content_api", "replaced_by": "content_api"}
        if listed.released:
            told["released"] = listed.released
    if pages.rates:
        told |= {"prices": pages.rates, "priced_on": today}
        evidence["prices"] = "content_api"
    known: dict[str, Any] = old.model_dump() if old else {"kind": _kind(schema), "text_to_video": True, "creator": ""}
    identity = {"air": air, "slug": entry.slug, "name": entry.name or schema.name or known.get("name") or air}
    identity["creator"] = schema.creator or known["creator"]
    return VideoModel(**{**known, **identity, **told, "evidence": {**known.get("evidence", {}), **evidence}})


def update_catalog(
    base: Catalog, models: dict[str, VideoModel], listing: dict[str, ListedModel], today: date
) -> Catalog:
    """Return a catalogue of these models. Models of the base that are missing are gone from today.

    A model that the listing still calls live keeps its old facts: the index may be behind.
    """
    missing = {air: model for air, model in base.models.items() if air not in models}
    still_live = {
        air: model for air, model in missing.items() if air in listing and status_of(listing[air].status) == "live"
    }
    models = models | still_live
    gone = {air: model for air, model in base.gone.items() if air not in models}
    for air, model in missing.items():
        if air not in still_live:
            listed = listing.get(air)
            replacement = (listed.replaced_by if listed else None) or model.replaced_by
            gone[air] = Gone(slug=model.slug, gone_by=today, replaced_by=replacement)
    source = base.source if base.source.startswith(SOURCE) else f"{SOURCE}{base.source}"
    return Catalog(
        max(today, base.as_of),
        source,
        dict(sorted(models.items())),
        dict(sorted(gone.items())),
        {air: update_addition(model, listing.get(air), today) for air, model in base.audio.items()},
        {air: update_addition(model, listing.get(air), today) for air, model in base.images.items()},
    )


def update_addition(model: Addition, listed: ListedModel | None, today: date) -> Addition:
    """Return a model of audio or images with its state and prices in the listing.

    Its other facts stay: no schema of such a model is read.
    """
    told: dict[str, Any] = {}
    if listed and (status := status_of(listed.status)):
        told["status"] = status
    if listed and listed.rates:
        told["prices"] = listed.rates
    evidence = model.evidence | dict.fromkeys(told, "content_api")
    if "prices" in told:
        told["priced_on"] = today
    return model.model_copy(update={**told, "evidence": evidence}) if told else model


def changes(old: Catalog, new: Catalog) -> Changes:
    """Compare two catalogues."""
    found = Changes(
        new={air: model.name for air, model in new.models.items() if air not in old.models},
        gone={
            air: f"{model.name}, replaced by {gone.replaced_by}" if gone.replaced_by else model.name
            for air, gone in new.gone.items()
            if (model := old.models.get(air))
        },
    )
    for air, model in new.models.items():
        if (before := old.models.get(air)) is None:
            continue
        if prices := _price_changes(before.prices, model.prices):
            found.prices[air] = prices
        state, earlier = _state(model), _state(before)
        if state != earlier:
            found.status[air] = f"{earlier} -> {state}"
        fields = VideoModel.model_fields.keys() - {"prices", "priced_on", "evidence", "status", *_DATED}
        if changed := sorted(name for name in fields if getattr(before, name) != getattr(model, name)):
            found.facts[air] = ", ".join(changed)
    before_additions: dict[str, AudioModel | ImageModel] = {**old.audio, **old.images}
    additions: dict[str, AudioModel | ImageModel] = {**new.audio, **new.images}
    for air, addition in additions.items():
        if (earlier_addition := before_additions.get(air)) is None:
            continue
        if prices := _price_changes(earlier_addition.prices, addition.prices):
            found.prices[air] = prices
        if addition.status != earlier_addition.status:
            found.status[air] = f"{earlier_addition.status or 'unknown'} -> {addition.status}"
    return found


_DATED = ("deactivates_on", "replaced_by")


def _state(model: VideoModel) -> str:
    ends = f", ends on {model.deactivates_on}" if model.deactivates_on else ""
    return f"{model.status or 'unknown'}{ends}{f', replaced by {model.replaced_by}' if model.replaced_by else ''}"


def _price_changes(before: Iterable[Rate], after: Iterable[Rate]) -> str:
    old, new = ({(rate.label, rate.per): rate.amount for rate in rates} for rates in (before, after))
    lines = [
        f"{label or 'any'}: {f'{old[label, per]:g}' if (label, per) in old else 'unknown'} -> {amount:g} per {per}"
        for (label, per), amount in new.items()
        if old.get((label, per)) != amount
    ]
    lines += [
        f"{label or 'any'}: {amount:g} is gone" for (label, per), amount in old.items() if (label, per) not in new
    ]
    return "; ".join(lines)


def _is_limited(duration: object) -> bool:
    return isinstance(duration, Duration) and (duration.values is not None or duration.max is not None)


def _kind(schema: Schema) -> str:
    """Return the kind of a new model, by what its request needs."""
    if schema.needed_inputs & {"video", "referenceVideos"}:
        return "edit"
    if schema.needed_inputs & {"audio", "referenceAudios"}:
        return "talking"
    if schema.capabilities & {"text-to-video", "image-to-video"}:
        return "generate"
    return "talking" if "audio-to-video" in schema.capabilities else "edit"
