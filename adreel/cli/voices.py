"""The command `voices`: the models of narrations and music, their voices and prices."""

from difflib import get_close_matches

from adreel.catalog import Catalog
from adreel.catalog.additions import AudioModel
from adreel.catalog.stored import load_catalog
from adreel.cli.display import print_json, print_line, print_table
from adreel.cli.models import EVIDENCE
from adreel.errors import InputError
from adreel.models.model_views import MusicModelView, VoiceList, VoiceModelView
from adreel.purchase.voice_offers import list_voices
from adreel.records import Records
from adreel.settings import Settings

UNKNOWN = "?"
EVERY = "every language"
MAX_CODES = 8
"""Maximum number of languages in a line of the table."""


def show_voices(*, model: str | None, language: str | None, music: bool, as_json: bool) -> None:
    """List the models, or the voices of one; InputError if there is no such model or language."""
    settings = Settings.load()
    catalog = load_catalog(Records.of(settings).storage)
    found = list_voices(catalog, language=language, model=model)
    if model and not found.models and not found.music:
        raise InputError(_advice(catalog, model, language), {"model": "it is not in the catalogue"})
    if as_json:
        print_json(found)
    elif music or (model and not found.models):
        _print_music(found, settings.music_model)
    elif model:
        _print_voices(found.models[0], catalog.audio[model])
    elif not found.models:
        raise InputError(f"no model is known to speak {language!r}: give a code such as de or pt-BR")
    else:
        _print_models(found, settings.voice_model, language)
    if not as_json:
        dates = [view.priced_on for view in found.models] + [view.priced_on for view in found.music]
        if known := list(filter(None, dates)):
            print_line(f"Prices of {min(known)} and later from public pages, not from invoices.")
        print_line(f"Catalogue of {found.as_of}: {catalog.source}.")


def _advice(catalog: Catalog, air: str, language: str | None) -> str:
    known = catalog.audio.get(air)
    if known and known.is_narrator and language:
        return (
            f"{known.title} is not known to speak {language}: `adreel voices --language {language}` lists those that do"
        )
    usable = [name for name, model in catalog.audio.items() if model.is_narrator or model.is_composer]
    similar = get_close_matches(air, usable, n=3, cutoff=0.4)
    hint = f": did you mean {' or '.join(similar)}?" if similar else ": `adreel voices` lists them"
    return f"{air!r} is no model of narrations or music in the catalogue of {catalog.as_of}{hint}"


def _print_models(found: VoiceList, usual: str, language: str | None) -> None:
    rows = [
        (
            view.model,
            view.name,
            _number(view.usd_per_1000_characters),
            str(sum(map(len, view.voices.values()))) if view.voices else "own",
            view.voice_names.get(view.default_voice or "", view.default_voice or ""),
            "{:g}-{:g}".format(*view.speeds) if view.speeds else "1",
            view.status or UNKNOWN,
            _languages(view),
        )
        for view in found.models
    ]
    headings = ("AIR", "name", "USD/1000 characters", "voices", "default", "speed", "status", "languages")
    print_table(headings, rows)
    print_line(
        f"The default is {usual}. {UNKNOWN} is not known. `adreel voices --model AIR` lists the voices of a model."
    )
    if language:
        print_line(f"Models of which it is not known whether they speak {language} are left out.")


def _print_voices(view: VoiceModelView, model: AudioModel) -> None:
    print_line(
        f"{view.name} ({view.model}) by {view.creator}, {_number(view.usd_per_1000_characters)} USD for 1000 characters"
    )
    if view.speeds:
        print_line("Speeds: {:g} to {:g}.".format(*view.speeds))
    if view.most_characters:
        print_line(f"Text: {view.most_characters} characters at most.")
    if view.default_voice:
        print_line(f"Default: {view.voice_names.get(view.default_voice, view.default_voice)}.")
    rows = [
        (EVERY if code == "*" else code, ", ".join(view.voice_names.get(name, name) for name in names))
        for code, names in view.voices.items()
    ]
    if rows:
        print_table(("language", "voices"), rows)
        print_line(f"Voices from {EVIDENCE.get(model.evidence_of('voices'), 'public pages')}.")
    else:
        print_line("It has no voices to choose from.")
    if view.languages:
        print_line(f"Languages: {', '.join(view.languages)}.")
    if model.note:
        print_line(f"Note: {model.note}.")


def _print_music(found: VoiceList, usual: str) -> None:
    print_table(("AIR", "name", "USD", "status", "seconds"), [_music_row(view) for view in found.music])
    print_line(f"USD is for an ad of 30 s. The default is {usual}. {UNKNOWN} is not known.")


def _music_row(view: MusicModelView) -> tuple[str, ...]:
    seconds = "{:g}-{:g}".format(*view.seconds) if view.seconds else "own"
    return view.model, view.name, _number(view.usd), view.status or UNKNOWN, seconds


def _languages(view: VoiceModelView) -> str:
    codes = view.languages or [code for code in view.voices if code != "*"]
    more = f" and {len(codes) - MAX_CODES} more" if len(codes) > MAX_CODES else ""
    return f"{', '.join(codes[:MAX_CODES])}{more}" or UNKNOWN


def _number(usd: float | None) -> str:
    return UNKNOWN if usd is None else f"{usd:.4f}"
