"""The commands about video models: models, models show, models refresh."""

from collections.abc import Iterable

from adreel.catalog import Catalog
from adreel.catalog.facts import Duration, Sound, VideoModel
from adreel.catalog.refresh import PageError, Refresh, refresh_catalog
from adreel.catalog.selection import Needs, aspects, cheapest_first, fits, resolutions
from adreel.catalog.sizes import ASPECTS, RESOLUTIONS
from adreel.catalog.stored import load_catalog
from adreel.cli.display import print_json, print_line, print_table
from adreel.errors import CatalogUnreadable, InputError
from adreel.records import Records
from adreel.settings import Settings
from adreel.settings.proxies import unify_proxies
from adreel.text import advise

MAX_LINES = 12
"""Maximum number of lines about one kind of change."""
UNKNOWN = "?"
RARE = {"prompt length", "duration next to frames", "frames with references", "other parameters", "note", "released"}
"""Facts that are left out where they are unknown."""
EVIDENCE = {
    "sdk_types": "types of Runware's SDK",
    "docs": "Runware's documentation",
    "docs_page": "Runware's documentation",
    "docs_copy_2026-10": "a copy of Runware's documentation of October 2026",
    "docs_2025-10": "Runware's documentation of October 2025",
    "schema": "Runware's schema of the model",
    "schema_copy": "a copy of Runware's schema of the model",
    "schema_rules_2026-09-24": "Runware's schemas of 2026-09-24",
    "content_api": "Runware's content API",
    "content_api_copy": "a copy of Runware's content API",
    "protocol": "Runware's description of requests",
    "pricing_scan_2026-09-27": "a scan of Runware's schemas of 2026-09-27",
    "third_party": "third parties only",
    "adreel": "a choice of adreel",
}


def show_models(needs: Needs, *, everything: bool, as_json: bool) -> None:
    """List the models that fit, the cheapest first."""
    _check(needs)
    catalog = _catalog()
    usable = {model.air for model in catalog.usable()}
    found = [(model, fits(model, needs)) for model in catalog.models.values()]
    certain = [model for model, fit in found if fit and model.air in usable]
    unsure = [model for model, fit in found if fit is None and model.air in usable]
    shown = cheapest_first([model for model, fit in found if fit is not False] if everything else certain, needs)
    if as_json:
        entries = [
            {"air": model.air, "fits": fits(model, needs), "price_per_second": needs.price(model)}
            | model.model_dump(mode="json", exclude={"air"})
            for model in shown
        ]
        print_json({"as_of": catalog.as_of, "source": catalog.source, "models": entries})
        return
    if shown:
        headings = ("AIR", "name", "USD/s", "seconds", "sound", "frames", "references", "status", "sizes")
        print_table(headings, [_row(model, needs.price(model)) for model in shown])
    count = "1 model" if len(shown) == 1 else f"{len(shown)} models"
    print_line(f"{count}, the cheapest first. USD/s is the least price that fits. {UNKNOWN} is not known.")
    if unsure and not everything:
        print_line(f"{len(unsure)} more may fit, which is not known: --all lists them too.")
    _print_source(catalog, shown)


def show_model(air: str, *, as_json: bool) -> None:
    """Show everything that is known about a model; InputError names similar ones of an unknown one."""
    catalog = _catalog()
    model, gone = catalog.models.get(air), catalog.gone.get(air)
    if known := model or gone:
        if as_json:
            print_json({"air": air, "is_gone": catalog.is_gone(air)} | known.model_dump(mode="json", exclude={"air"}))
        elif model:
            _print_model(model, catalog)
        elif gone:
            print_line(f"{air} ({gone.slug}) is no longer offered by Runware since {gone.gone_by}.")
            _print_replacement(air, catalog)
    elif addition := catalog.audio.get(air) or catalog.images.get(air):
        from adreel.cli.addition_models import print_addition

        if as_json:
            print_json(addition.model_dump(mode="json"))
        else:
            print_addition(addition, catalog)
    else:
        similar = " or ".join(catalog.similar(air, 3))
        advice = f"did you mean {similar}? " if similar else ""
        raise InputError(
            f"the model {air!r} is not in the catalogue of {catalog.as_of}: {advice}`adreel models --all` lists"
            " them all, and `adreel models refresh` reads what Runware sells today",
            {"model": "it is not in the catalogue"},
        )


def refresh(*, keep_going: bool, as_json: bool) -> None:
    """Read what Runware sells today, and keep it in the storage."""
    settings = Settings.load()
    unify_proxies()
    try:
        done = refresh_catalog(Records.of(settings).storage, settings.catalog_url, keep_going=keep_going)
    except PageError as error:
        raise CatalogUnreadable(str(error)) from None
    if as_json:
        print_json(
            {
                "as_of": done.catalog.as_of,
                "models": len(done.catalog.models),
                "changes": done.changes,
                "unread": done.unread,
            }
        )
    else:
        _print_refresh(done)


def _catalog() -> Catalog:
    return load_catalog(Records.of(Settings.load()).storage)


def _check(needs: Needs) -> None:
    if needs.aspect and needs.aspect not in ASPECTS:
        raise InputError(f"the aspect {needs.aspect!r} is unknown: {advise(needs.aspect, ASPECTS)}")
    if needs.resolution and needs.resolution.lower() not in RESOLUTIONS:
        raise InputError(f"the resolution {needs.resolution!r} is unknown: {advise(needs.resolution, RESOLUTIONS)}")


def _row(model: VideoModel, price: float | None) -> tuple[str, ...]:
    return (
        model.air,
        model.name,
        UNKNOWN if price is None else f"{price:.4f}",
        _durations(model),
        _yes(model.has_sound),
        _frames(model),
        str(model.references) if model.references else _yes(model.takes_references),
        (model.status or UNKNOWN) if model.kind == "generate" else f"{model.status or UNKNOWN}, {model.kind}",
        _sizes(model),
    )


def _durations(model: VideoModel) -> str:
    duration = model.duration
    if not isinstance(duration, Duration):
        return "own" if duration == "absent" else UNKNOWN
    if duration.values is not None:
        return ",".join(map(str, duration.values))
    return f"{duration.min or 1}-{duration.max}" if duration.max is not None else UNKNOWN


def _frames(model: VideoModel) -> str:
    positions = {position: model.has_frame(position) for position in ("first", "last")}
    if any(positions.values()):
        offered = "+".join(position for position, is_offered in positions.items() if is_offered)
        return offered if model.text_to_video else f"{offered}, needed"
    return UNKNOWN if None in positions.values() else "no"


def _sizes(model: VideoModel) -> str:
    shapes = " ".join(aspects(model))
    return ", ".join(filter(None, (shapes, " ".join(resolutions(model))))) or UNKNOWN


def _yes(answer: bool | None) -> str:
    return UNKNOWN if answer is None else "yes" if answer else "no"


def _print_source(catalog: Catalog, models: Iterable[VideoModel]) -> None:
    dates = sorted({model.priced_on for model in models if model.priced_on})
    if dates:
        days = str(dates[0]) if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        print_line(f"Prices of {days} from public pages, not from invoices.")
    print_line(f"Catalogue of {catalog.as_of}: {catalog.source}. `adreel models refresh` reads it again.")


def _print_model(model: VideoModel, catalog: Catalog) -> None:
    print_line(f"{model.name} ({model.air}) by {model.creator}")
    if catalog.is_gone(model.air):
        print_line(f"It is no longer offered by Runware since {model.deactivates_on}.")
    elif model.status == "deprecated":
        print_line(f"It is deprecated{f' and ends on {model.deactivates_on}' if model.deactivates_on else ''}.")
    _print_replacement(model.air, catalog)
    print_table(("fact", "source", "value"), _facts(model))
    if model.prices:
        prices = [(f"{rate.amount:g}", rate.per, rate.label) for rate in model.prices]
        print_table(("USD", "per", "for"), prices)
        source = EVIDENCE.get(model.evidence_of("prices"), "public pages")
        print_line(f"Prices of {model.priced_on}, from {source}, not from an invoice.")
    else:
        print_line("No price is known.")
    _print_source(catalog, ())


def _print_replacement(air: str, catalog: Catalog) -> None:
    if replacement := catalog.replacement(air):
        known = catalog.models.get(replacement)
        print_line(f"Use its replacement: {f'{known.name} ({known.air})' if known else replacement}.")
    elif catalog.is_gone(air) and (similar := catalog.similar(air)):
        print_line(f"Similar models: {', '.join(similar)}.")


def _facts(model: VideoModel) -> list[tuple[str, str, str]]:
    """Return a model's facts for people: name, source and value."""
    found: list[tuple[str, str, object]] = [
        ("kind", "", model.kind),
        ("status", "status", model.status),
        ("released", "", model.released),
        ("text to video", "text_to_video", model.text_to_video),
        ("prompt", "prompt", model.prompt),
        ("prompt length", "prompt_length", model.prompt_length and "{} to {} characters".format(*model.prompt_length)),
        ("negative prompt", "negative_prompt", model.negative_prompt),
        ("seed", "seed", model.seed),
        ("duration", "duration", "the model decides" if model.duration == "absent" else model.duration),
        ("duration next to frames", "frame_durations", _seconds(model.frame_durations)),
        ("width and height", "width_height", model.width_height),
        ("sizes", "sizes", ", ".join(model.sizes or ())),
        *((f"duration at {size}", "size_durations", _seconds(few)) for size, few in model.size_durations.items()),
        ("resolutions", "resolutions", ", ".join(model.resolutions or ())),
        ("images", "inputs", model.inputs),
        ("frames", "frames" if model.frames else "modes", _frames(model)),
        ("size next to frames", "size_with_frames", model.size_with_frames),
        ("references", "references" if model.references else "modes", model.references or model.takes_references),
        ("frames with references", "frames_with_references", model.frames_with_references),
        ("sound", "sound", _sound(model)),
        ("own settings", "settings", model.settings),
        ("other parameters", "parameters", ", ".join(model.parameters)),
        ("kinds of input", "modes", ", ".join(model.modes)),
        ("render time", "", model.render_seconds and "{:g} to {:g} s".format(*model.render_seconds)),
        ("note", "", model.note),
    ]
    return [
        (name, "" if text == UNKNOWN or not field else EVIDENCE.get(model.evidence_of(field), "public pages"), text)
        for name, field, value in found
        if (text := _text(value)) != UNKNOWN or name not in RARE
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return _yes(value)
    return UNKNOWN if value in {None, ""} else str(value)


def _seconds(durations: tuple[int, ...] | None) -> str:
    return f"{', '.join(map(str, durations))} seconds" if durations else ""


def _sound(model: VideoModel) -> str:
    if not isinstance(model.sound, Sound):
        return _yes(model.has_sound)
    default = {True: ", on unless switched off", False: ", off unless switched on", None: ""}[model.sound.default]
    return f"{model.sound.parameter or 'yes, it is not known how it is switched'}{default}"


def _print_refresh(done: Refresh) -> None:
    changes = done.changes
    for title, found in (
        ("new", changes.new),
        ("gone", changes.gone),
        ("status", changes.status),
        ("price", changes.prices),
        ("changed", changes.facts),
    ):
        lines = [f"{title}: {air}: {text}" for air, text in found.items()]
        for line in lines[:MAX_LINES]:
            print_line(line)
        if len(lines) > MAX_LINES:
            print_line(f"{title}: {len(lines) - MAX_LINES} more, which --json lists")
    for air, reason in done.unread.items():
        print_line(f"adreel: {air} keeps its old facts: {reason}", err=True)
    print_line(f"{len(done.catalog.models)} video models as of {done.catalog.as_of}")
