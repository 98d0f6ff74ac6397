"""The form of an ad's narrator and music: what the catalogue offers, and the change that its fields become."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adreel.catalog.additions import ANY_LANGUAGE, LANGUAGE_NAMES, base_language
from adreel.models.api import SessionPatch
from adreel.models.model_views import MusicModelView, VoiceList, VoiceModelView
from adreel.models.sessions import MusicBed, Session, Voice
from adreel.settings import Settings
from adreel.web.pages.forms import ORIGINAL, FormField, FormState, field_text

BLOCKS = {"voice": ("model", "voice", "language", "speed"), "music": ("prompt", "model", "below_voice")}
ON = "yes"
IS_ON = "on"
"""Name of the field that says whether an ad has a narrator or music."""
SHOWN_MODEL = f"{ORIGINAL}model"
"""Hidden field with the narrator's model that the form was rendered with."""

LONGEST_CODE = 5
"""Characters of a code such as de-AT."""

Inputs = dict[str, list[FormField]]


def sound_fields(session: Session | None) -> dict[str, str]:
    """Return the fields of the narrator and the music as an ad is described."""
    fields = {}
    for block, names in BLOCKS.items():
        described = getattr(session, block, None)
        fields[f"{block}.{IS_ON}"] = ON if described else ""
        fields |= {f"{block}.{name}": field_text(getattr(described, name, None)) for name in names}
    return fields | {SHOWN_MODEL: fields["voice.model"]}


def sound_values(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the narrator and the music of a form, for a request; None for none."""
    values: dict[str, Any] = dict.fromkeys(BLOCKS)
    for block, names in BLOCKS.items():
        given = {name: fields.get(f"{block}.{name}", "").strip() for name in names}
        if fields.get(f"{block}.{IS_ON}"):
            values[block] = {name: text for name, text in given.items() if text}
    return values


def sound_patch(fields: Mapping[str, str], session: Session) -> SessionPatch:
    """Read the form, or raise ValidationError. A voice of another model than the chosen one is left out."""
    values = sound_values(fields)
    is_other_model = fields.get("voice.model", "") != fields.get(SHOWN_MODEL, "")
    if values["voice"] and is_other_model and session.voice and values["voice"].get("voice") == session.voice.voice:
        values["voice"].pop("voice", None)
    return SessionPatch.model_validate(values)


def sound_form(form: FormState, offered: VoiceList, settings: Settings) -> FormState:
    """Return the form with what holds where its fields are empty."""
    names = {each.model: each.name for each in offered.models} | {each.model: each.name for each in offered.music}
    usual = {"voice.model": settings.voice_model, "music.model": settings.music_model}
    defaults = {name: names.get(air, air) for name, air in usual.items()}
    model = _chosen(form.fields, offered, settings)
    voice = _voice_name(model, model.default_voice) if model and model.default_voice else ""
    defaults |= {"voice": f"The usual one, {voice}" if voice else "The usual one", "speed": "1"}
    defaults |= {IS_ON: "None", "language": "As the words are written", "prompt": "From the scenes"}
    return replace(form, defaults=defaults)


def sound_inputs(fields: Mapping[str, str], offered: VoiceList, settings: Settings) -> Inputs:
    """Return the inputs of the narrator and of the music, with what the catalogue offers."""
    model = _chosen(fields, offered, settings)
    voices = _choices(fields, "voice.voice", _voices(model, fields.get("voice.language", "")) if model else {})
    languages = _choices(fields, "voice.language", _languages(model) if model else {})
    narrators = _choices(fields, "voice.model", {each.model: _narrator_label(each) for each in offered.models})
    composers = _choices(fields, "music.model", {each.model: _composer_label(each) for each in offered.music})
    speaks, plays = ((ON, "Speaks the narrations"),), ((ON, "One piece for the whole ad"),)
    save_first = "Save another model to choose among its voices."
    return {
        "voice": [
            FormField(IS_ON, "In this ad", Session, "switch", is_wide=True, note="", choices=speaks),
            FormField("model", "Model", Voice, "choice", note=save_first, choices=narrators),
            FormField("voice", "Voice", Voice, "choice", note="", choices=voices),
            FormField("language", "Language", Voice, "choice", note="", choices=languages),
            FormField("speed", "Speed", Voice, "number", note="1 is the voice's own."),
        ],
        "music": [
            FormField(IS_ON, "In this ad", Session, "switch", is_wide=True, note="", choices=plays),
            FormField("prompt", "Style", MusicBed, "area", is_wide=True, note="Style, tempo and instruments."),
            FormField("model", "Model", MusicBed, "choice", note="", choices=composers),
        ],
    }


def _chosen(fields: Mapping[str, str], offered: VoiceList, settings: Settings) -> VoiceModelView | None:
    air = fields.get("voice.model") or settings.voice_model
    return next((each for each in offered.models if each.model == air), None)


def _choices(fields: Mapping[str, str], name: str, known: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return choices with their labels; what the ad names is among them even if it is unknown."""
    named = fields.get(name, "")
    return (*known.items(), *([(named, named)] if named and named not in known else []))


def _voices(model: VoiceModelView, language: str) -> dict[str, str]:
    wanted = base_language(language)
    of_language = [
        voices for code, voices in model.voices.items() if not wanted or base_language(code) in {wanted, ANY_LANGUAGE}
    ]
    return {voice: _voice_name(model, voice) for voices in of_language for voice in voices}


def _voice_name(model: VoiceModelView, voice: str) -> str:
    return model.voice_names.get(voice, voice)


def _languages(model: VoiceModelView) -> dict[str, str]:
    # Some models name languages by codes, others by names.
    codes = [code for code in model.voices if code != ANY_LANGUAGE] or [
        code for code in model.languages or () if len(code) <= LONGEST_CODE
    ]
    return {code: LANGUAGE_NAMES.get(code, code) for code in codes}


def _narrator_label(model: VoiceModelView) -> str:
    usd = model.usd_per_1000_characters
    return f"{model.name}, {'price unknown' if usd is None else f'{usd:.2g} USD per 1000 characters'}"


def _composer_label(model: MusicModelView) -> str:
    return f"{model.name}, {'price unknown' if model.usd is None else f'{model.usd:.2g} USD per ad'}"
