"""Rules of the audio models: which requests for voices and music Runware refuses, by the catalogue's facts.

As for videos, a fact counts only where Runware itself has published it. A model that the catalogue does not know has
no rules, except that it needs words to speak or a prompt.
"""

from collections.abc import Callable, Iterator
from typing import Any

from adreel.emulator.replies import Item
from adreel.emulator.rules import LONGEST_PROMPT, Model, Violation, published
from adreel.emulator.sounds import DEFAULT_FORMAT

EVERY_MODEL_HAS = {
    "deliveryMethod",
    "includeCost",
    "model",
    "numberResults",
    "outputFormat",
    "outputType",
    "safety",
    "taskType",
    "taskUUID",
    "ttl",
    "uploadEndpoint",
    "webhookURL",
}
LOSSLESS = ("WAV", "FLAC")
LONGEST_TEXT = 10_000
"""Characters that a model speaks whose limit is not known."""
LONGEST_SECONDS = 600
SLACK = 1e-6
"""Tenths are not exact in binary."""


def violation(task: Item, model: Model | None) -> Violation | None:
    """Return the first rule of its model that a request for a sound breaks."""
    return next((found for rule in _RULES for found in rule(task, model or {})), None)


def _check_parameters(task: Item, model: Model) -> Iterator[Violation]:
    required = published(model, "required") or ()
    for name in required:
        if not task.get(name):
            yield Violation(f"missing{_title(name)}", name, f"{name!r} is required by {model['name']!r}.", _kind(name))
    if "required" not in model or "optional" not in model:
        return
    declared = {*EVERY_MODEL_HAS, *required, *model["optional"]}
    for name in task:
        if name not in declared:
            yield Violation("unsupportedParameter", name, f"Parameter {name!r} is not supported by {model['name']!r}.")


def _check_speech(task: Item, model: Model) -> Iterator[Violation]:
    speech = task.get("speech")
    if speech is None:
        if "positivePrompt" not in task and "required" not in model:
            yield Violation("missingPositivePrompt", "positivePrompt", "A prompt or words to speak are required.")
        return
    if not isinstance(speech, dict):
        yield Violation("invalidSpeech", "speech", "'speech' must be an object.", "object")
        return
    if offered := published(model, "speech"):
        for name in speech:
            if name not in {*offered["required"], *offered["optional"]}:
                place = f"speech.{name}"
                yield Violation("unsupportedParameter", place, f"Parameter {place!r} is not of {model['name']!r}.")
        for name in offered["required"]:
            if not speech.get(name):
                yield Violation(f"missing{_title(name)}", f"speech.{name}", f"'speech.{name}' is required.")
    yield from _check_text(speech, model)
    yield from _check_voice(speech, model)
    yield from _check_speed(speech, model)


def _check_text(speech: Item, model: Model) -> Iterator[Violation]:
    text = speech.get("text")
    if text is None:
        yield Violation("missingText", "speech.text", "The words to speak are required.")
        return
    least, most = published(model, "text_length") or (1, LONGEST_TEXT)
    if not isinstance(text, str) or not text.strip():
        yield Violation("invalidText", "speech.text", "There are no words to speak.")
    elif not least <= len(text) <= most:
        message = f"The text has {len(text)} characters, from {least} to {most} are allowed."
        yield Violation("invalidText", "speech.text", message)


def _check_voice(speech: Item, model: Model) -> Iterator[Violation]:
    voices: dict[str, list[str]] = published(model, "voices") or {}
    languages: tuple[str, ...] = tuple(published(model, "languages") or ())
    language, voice = speech.get("language"), speech.get("voice")
    if language is not None and languages and language not in languages:
        message = f"Language {language!r} is not offered."
        yield Violation("unsupportedLanguage", "speech.language", message, allowed=languages)
    if voice is None or not voices:
        return
    # Where the voices of a language are not listed by themselves, any may speak it.
    own = voices.get(language) if isinstance(language, str) else None
    of_language = [*own, *voices.get("*", ())] if own else []
    allowed = of_language or [each for names in voices.values() for each in names]
    if voice not in allowed:
        message = f"Voice {voice!r} is not offered" + (f" for language {language!r}." if of_language else ".")
        yield Violation("unsupportedVoice", "speech.voice", message, allowed=tuple(allowed))


def _check_speed(speech: Item, model: Model) -> Iterator[Violation]:
    speed = speech.get("speed", 1)
    least, most = published(model, "speed") or (0.1, 10)
    if not _is_number(speed) or not least <= speed <= most:
        yield Violation("invalidSpeed", "speech.speed", f"The speed must be from {least} to {most}.", "float")
    elif (step := published(model, "speed_step")) and abs(speed / step - round(speed / step)) > SLACK:
        yield Violation("invalidSpeed", "speech.speed", f"The speed must be a multiple of {step}.", "float")


def _check_prompt(task: Item, model: Model) -> Iterator[Violation]:
    least, most = published(model, "prompt_length") or (1, LONGEST_PROMPT)
    length = len(task.get("positivePrompt", ""))
    if "positivePrompt" in task and not least <= length <= most:
        message = f"The prompt has {length} characters, from {least} to {most} are allowed."
        yield Violation("invalidPositivePrompt", "positivePrompt", message)


def _check_duration(task: Item, model: Model) -> Iterator[Violation]:
    offered = published(model, "duration") or {}
    seconds = task.get("duration", offered.get("default") or 1)
    least, most = offered.get("min", 1), offered.get("max", LONGEST_SECONDS)
    if not _is_number(seconds):
        yield Violation("invalidDuration", "duration", "'duration' must be a number.", "float")
    elif "duration" in task and not least <= seconds <= most:
        message = f"{seconds:g} s are not from {least} to {most} s."
        yield Violation("invalidDurationNumber", "duration", message, "float")


def _check_format(task: Item, model: Model) -> Iterator[Violation]:
    wanted, formats = task.get("outputFormat", DEFAULT_FORMAT), published(model, "formats")
    if formats and wanted not in formats:
        message = f"Format {wanted!r} is not offered."
        yield Violation("unsupportedOutputFormat", "outputFormat", message, allowed=tuple(formats))
    if "audioSettings" not in task:
        return
    if not isinstance(task["audioSettings"], dict):
        yield Violation("invalidAudioSettings", "audioSettings", "'audioSettings' must be an object.", "object")
    elif wanted in LOSSLESS:
        both = ["audioSettings", "outputFormat"]
        yield Violation("incompatibleParameters", both, f"{wanted} has no audio settings.", "object")


_RULES: tuple[Callable[[Item, Model], Iterator[Violation]], ...] = (
    _check_parameters,
    _check_speech,
    _check_prompt,
    _check_duration,
    _check_format,
)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(name: str) -> str:
    return "object" if name in {"speech", "inputs", "settings"} else "string"


def _title(name: str) -> str:
    return name[0].upper() + name[1:]
