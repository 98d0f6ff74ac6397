"""Requests of voices, music and stills: what a session says, turned into what their models accept.

As for clips, a wish that a model is documented not to offer is an InputError before anything is written. Undeclared
parameters are never sent.
"""

import math
from copy import deepcopy
from difflib import get_close_matches

from adreel.catalog import Catalog
from adreel.catalog.additions import AudioModel, Speech
from adreel.errors import InputError
from adreel.models.narration import narration_fit
from adreel.models.parts import Addition, kind_of, label_of, scenario_of
from adreel.models.sessions import SceneChanges, SceneDescription, Session, Voice
from adreel.models.takes import MusicRequest, StillRequest, VoiceRequest
from adreel.purchase.prompt import music_prompt
from adreel.purchase.stills import still_request
from adreel.purchase.wishes import AdditionOrder, Purpose, Wishes, find_model
from adreel.settings import Settings

AdditionRequest = VoiceRequest | MusicRequest | StillRequest
DEFAULT_LANGUAGE = "en"
"""Language of a default voice. It is not sent: models tell the language by the text."""
SHOWN_VOICES = 4


def addition_request(  # noqa: PLR0917 - one call for all kinds of parts
    session: Session,
    part: Addition,
    changes: SceneChanges,
    settings: Settings,
    catalog: Catalog,
    seconds: float,
    *,
    checks_files: bool = True,
) -> AdditionRequest:
    """Resolve a voice, the music or a still into the request to send; InputError names each wrong field.

    `seconds` is the length of the scene for a voice, and of the ad for the music. Without `checks_files`, local images
    are not opened: only the machine of the worker may have them.
    """
    order, scenario = AdditionOrder(session, part, changes, settings, catalog), scenario_of(part)
    if scenario is None:
        return music_request(order, seconds)
    scene = changes.model_copy(update={"model": None}).applied_to(session.scene(scenario))
    if kind_of(part) == "voice":
        return voice_request(order, scene, seconds)
    return still_request(order, scene, checks_files=checks_files)


def voice_request(order: AdditionOrder, scene: SceneDescription, seconds: float) -> VoiceRequest:
    """Resolve the narration of a scene. One that can't fit its seconds is an InputError."""
    text = " ".join(scene.dialog_narration.split())
    if not text:
        reason = "the scene has no dialog_narration: write the words to speak, or leave its voice out"
        raise InputError(f"{label_of(order.part)}: {reason}", {"dialog_narration": reason})
    common, own = order.session.voice or Voice(), order.changes.voice or Voice()
    usual = common.model or order.settings.voice_model
    air = order.changes.model or own.model or usual
    anything = Speech(required=("text",), optional=("voice", "language", "speed"))
    unknown = AudioModel(air=air, slug="", name=air, kind="speech", speech=anything)
    purpose = Purpose[AudioModel]("narrations", lambda model: model.is_narrator, order.settings.voice_model)
    wishes = find_model(order, air, order.catalog.audio, unknown, purpose)
    model = wishes.model
    language = own.language or common.language
    name = own.voice or common.voice
    if own.voice is None and name and air != usual and not _find_voice(model, name):
        wishes.warn("otherVoice", f"{name} is no voice of {model.title}: its usual voice is used")
        name = None
    sent_language = _language(wishes, language, order.catalog)
    voice = _voice(wishes, name, language)
    speed = _speed(wishes, own.speed if own.speed is not None else common.speed)
    if model.text_length and not model.text_length[0] <= len(text) <= model.text_length[1]:
        least, most = model.text_length
        reason = f"dialog_narration has {len(text)} characters, {model.title} takes {least} to {most}"
        wishes.refuse("dialog_narration", reason, fact="text_length")
    spoken = language or (model.language_of(voice) if voice else None)
    fit = narration_fit(text, seconds, spoken, speed or 1)
    if not fit.is_given:
        wishes.problems["dialog_narration"] = (
            f"{fit.count} {fit.unit} don't fit {seconds:g} s: at most {fit.most} fit at this speed; shorten"
            " dialog_narration or lengthen the scene"
        )
    request = VoiceRequest(
        model=model.air,
        text=text,
        voice=voice,
        language=sent_language,
        speed=speed,
        warnings=tuple(wishes.warnings),
    )
    wishes.check()
    return request


def _find_voice(model: AudioModel, name: str) -> str | None:
    """Return a voice as the model spells it. Voices that are mere ids have names as well."""
    known = {voice.lower(): voice for voices in model.voices.values() for voice in voices}
    known |= {shown.lower(): voice for voice, shown in model.voice_names.items()}
    return known.get(name.strip().lower())


def _voice(wishes: Wishes[AudioModel], name: str | None, language: str | None) -> str | None:
    model = wishes.model
    if not model.speech.takes("voice"):
        if name:
            wishes.refuse("voice", f"{model.title} has no voices to choose from: leave voice out", fact="speech")
        return name if wishes.is_unchecked else None
    if name is None:
        voice = model.usual_voice(language or DEFAULT_LANGUAGE, is_named=language is not None)
        if voice is None and "voice" in model.speech.required and "language" not in wishes.problems:
            reason = f"no voice of {model.title} for {language or DEFAULT_LANGUAGE} is known: name one"
            wishes.problems["voice"] = f"{reason}; {_list_command(model)} lists them"
        return voice
    if not model.voices:
        wishes.warn("notKnown", f"it is not known whether {model.title} has the voice {name}")
        return name
    voice = _find_voice(model, name)
    if voice is None:
        wishes.refuse("voice", f"{name} is no voice of {model.title}: {_advice(model, name, language)}", fact="voices")
        return name
    own = model.language_of(voice)
    if language and own and model.speech.takes("language") and voice not in model.voices_of(language):
        reason = f"{voice} of {model.title} speaks {own}, not {language}: {_advice(model, name, language)}"
        wishes.refuse("voice", reason, fact="voices")
    return voice


def _advice(model: AudioModel, name: str, language: str | None) -> str:
    """Tell which voices there are instead, the most similar ones first."""
    offered = model.voices_of(language or DEFAULT_LANGUAGE)
    similar = get_close_matches(name, offered, n=SHOWN_VOICES, cutoff=0.5)
    usual = model.default_voice(language or DEFAULT_LANGUAGE)
    shown = list(dict.fromkeys([*similar, *([usual] if usual else []), *offered]))[:SHOWN_VOICES]
    names = ", ".join(model.voice_names.get(voice, voice) for voice in shown)
    return f"choose one such as {names}; {_list_command(model)} lists them" if names else f"see {_list_command(model)}"


def _list_command(model: AudioModel) -> str:
    return f"`adreel voices --model {model.air}`"


def _language(wishes: Wishes[AudioModel], language: str | None, catalog: Catalog) -> str | None:
    """Return the value of `speech.language`; None if nothing has to be said."""
    model = wishes.model
    if language is None:
        return None
    if not model.speech.takes("language"):
        if not model.voices_of(language):
            wishes.warn("noLanguage", f"{model.title} has no language to set: it speaks as the text is written")
        return None
    if model.languages is None:
        wishes.warn("notKnown", f"it is not known whether {model.title} speaks {language}")
        return language
    value = model.language_value(language)
    if value is None:
        reason = f"language {language} is not offered by {model.title}: it offers {', '.join(model.languages)}"
        others = [other.title for other in catalog.audio.values() if other.is_narrator and other.speaks(language)]
        advice = f"; try {' or '.join(others[:2])}" if others else ""
        wishes.refuse("language", f"{reason}{advice}", fact="languages")
        return language
    return value


def _speed(wishes: Wishes[AudioModel], speed: float | None) -> float | None:
    model = wishes.model
    if speed is None:
        return None
    if not model.speech.takes("speed"):
        if speed != 1:
            wishes.refuse("speed", f"{model.title} has one speed only: leave speed out", fact="speech")
        return speed if wishes.is_unchecked else None
    if model.speed and not model.speed[0] <= speed <= model.speed[1]:
        least, most = model.speed
        reason = f"speed {speed:g} is not offered by {model.title}: it offers {least:g} to {most:g}"
        wishes.refuse("speed", reason, fact="speed")
    elif model.speed_step:
        rounded = round(round(speed / model.speed_step) * model.speed_step, 3)
        if rounded != speed:
            wishes.warn(
                "otherSpeed", f"{model.title} takes speeds in steps of {model.speed_step:g}: {rounded:g} is used"
            )
        return rounded
    return speed


def music_request(order: AdditionOrder, seconds: float) -> MusicRequest:
    """Resolve the music of an ad that lasts so many seconds. It never sings: a narrator speaks above it."""
    bed, changes = order.session.music, order.changes
    air = changes.model or (bed.model if bed else None) or order.settings.music_model
    unknown = AudioModel(air=air, slug="", name=air, kind="music", required=("positivePrompt",))
    purpose = Purpose[AudioModel]("music", lambda model: model.is_composer, order.settings.music_model)
    wishes = find_model(order, air, order.catalog.audio, unknown, purpose)
    model = wishes.model
    limit = model.prompt_length[1] if model.prompt_length else None
    given = changes.background_music or (bed.prompt if bed else None)
    prompt = " ".join(given.split()) if given else music_prompt(order.session, limit=limit)
    if model.prompt_length and not model.prompt_length[0] <= len(prompt) <= model.prompt_length[1]:
        least, most = model.prompt_length
        reason = f"the prompt has {len(prompt)} characters, {model.title} takes {least} to {most}"
        wishes.refuse("prompt", reason, fact="prompt_length")
    seed = changes.seed
    if seed is not None and not model.takes("seed"):
        wishes.warn("noSeed", f"{model.title} has no seed: it is left out")
        seed = None
    request = MusicRequest(
        model=model.air,
        prompt=prompt,
        duration=_music_seconds(wishes, seconds),
        seed=seed,
        parameters=deepcopy(model.instrumental),
        warnings=tuple(wishes.warnings),
    )
    wishes.check()
    return request


def _music_seconds(wishes: Wishes[AudioModel], seconds: float) -> float | None:
    """Return the length to order, at least that of the ad; None if the model decides."""
    offered = wishes.model.duration
    if offered is None:
        return None
    if seconds > offered.max:
        reason = f"the ad lasts {seconds:g} s, {wishes.model.title} makes at most {offered.max:g} s: use another model"
        wishes.refuse("model", reason, fact="duration")
    return max(offered.min, math.ceil(seconds))
