"""Refusals of voices and music by the published facts of a model."""

from typing import Any

import pytest

from adreel.emulator.facts import Facts
from adreel.emulator.replies import Item
from tests.local_runware.additions import AUDIO, MUSIC, NOISES, PLAIN_VOICE, STILL, VOICE, new_facts, play, speak
from tests.local_runware.client import submit
from tests.local_runware.test_rules import new_handler, refusal

ACCEPTED: dict[str, Item] = {
    "voice": speak(),
    "voice of every language": speak(speech_voice="Nova", speech_language="de"),
    "voice of a language without its own": speak(speech_voice="Nova", speech_language="ja"),
    "voice without a language": speak(speech_voice="Johanna", speech_language=None),
    "longest text": speak("a" * 2000),
    "slowest speech": speak(speech_speed=0.5),
    "speed of a step that is not exact in binary": speak(speech_speed=0.55),
    "fastest speech": speak(speech_speed=1.5),
    "settings of an MP3": speak(outputFormat="MP3", audioSettings={"bitrate": 128}),
    "default format": speak(outputFormat=None, audioSettings={"bitrate": 128}),
    "voice that the model chooses": speak(
        model=PLAIN_VOICE, outputFormat="MP3", speech_voice=None, speech_language=None
    ),
    "shortest music": play(duration=30),
    "longest music": play(duration=300),
    "music of the usual length": play(duration=None),
    "longest prompt": play(positivePrompt="a" * 3000),
    "own settings of the model": play(seed=3, steps=20, settings={"bpm": 120}),
    "noise": play(model=NOISES, duration=1.5),
    "unknown voice model": speak(model="local:voice@1", speech_pitch=3, anything=1),
    "unknown music model": play(model="local:music@1", duration=5),
}


@pytest.mark.parametrize("task", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_request_that_keeps_the_rules_is_accepted(task: Item) -> None:
    assert refusal(task, new_facts()) is None


REFUSED: dict[str, tuple[Item, str, Any]] = {
    "gone model": (speak(model="klingai:1@1"), "unknownModel", "model"),
    "video model": (speak(model="klingai:6@1"), "invalidModel", "model"),
    "image model": (play(model=STILL), "invalidModel", "model"),
    "no speech": (speak(speech=None), "missingSpeech", "speech"),
    "speech of a word": (speak(speech="Hello"), "invalidSpeech", "speech"),
    "no text": (speak(None), "missingText", "speech.text"),
    "empty text": (speak(""), "missingText", "speech.text"),
    "blank text": (speak(" \n"), "invalidText", "speech.text"),
    "text of a number": (speak(7), "invalidText", "speech.text"),
    "text that is too long": (speak("a" * 2001), "invalidText", "speech.text"),
    "no voice": (speak(speech_voice=None), "missingVoice", "speech.voice"),
    "unknown voice": (speak(speech_voice="Nobody"), "unsupportedVoice", "speech.voice"),
    "voice of a list": (speak(speech_voice=["Ashley"]), "unsupportedVoice", "speech.voice"),
    "voice of another language": (speak(speech_voice="Johanna"), "unsupportedVoice", "speech.voice"),
    "unknown language": (speak(speech_language="xx"), "unsupportedLanguage", "speech.language"),
    "language of a list": (speak(speech_language=["en"]), "unsupportedLanguage", "speech.language"),
    "slow speech": (speak(speech_speed=0.4), "invalidSpeed", "speech.speed"),
    "fast speech": (speak(speech_speed=1.6), "invalidSpeed", "speech.speed"),
    "speed between two steps": (speak(speech_speed=1.03), "invalidSpeed", "speech.speed"),
    "speed of a word": (speak(speech_speed="fast"), "invalidSpeed", "speech.speed"),
    "undeclared setting of speech": (speak(speech_pitch=2), "unsupportedParameter", "speech.pitch"),
    "undeclared parameter": (speak(seed=7), "unsupportedParameter", "seed"),
    "length of a voice": (speak(duration=30), "unsupportedParameter", "duration"),
    "speech of a music model": (play(speech={"text": "Hello"}), "unsupportedParameter", "speech"),
    "no prompt": (play(positivePrompt=None), "missingPositivePrompt", "positivePrompt"),
    "prompt that is too long": (play(positivePrompt="a" * 3001), "invalidPositivePrompt", "positivePrompt"),
    "short music": (play(duration=29), "invalidDurationNumber", "duration"),
    "long music": (play(duration=301), "invalidDurationNumber", "duration"),
    "length of a word": (play(duration="30"), "invalidDuration", "duration"),
    "format of videos": (speak(outputFormat="MP4"), "unsupportedOutputFormat", "outputFormat"),
    "format of other models": (play(model=NOISES, duration=5, outputFormat="WAV"), "unsupportedOutputFormat", None),
    "settings of a FLAC": (
        speak(audioSettings={"bitrate": 128}),
        "incompatibleParameters",
        ["audioSettings", "outputFormat"],
    ),
    "settings of a WAV": (play(outputFormat="WAV", audioSettings={}), "incompatibleParameters", None),
    "settings of a number": (play(audioSettings=3), "invalidAudioSettings", "audioSettings"),
    "synchronous delivery": (speak(deliveryMethod="sync"), "unsupportedDeliveryMethod", "deliveryMethod"),
    "two results": (play(numberResults=2), "unsupportedNumberResults", "numberResults"),
    "file in the reply": (speak(outputType="base64Data"), "unsupportedOutputType", "outputType"),
    "unknown model without words": (play(model="local:music@1", positivePrompt=None), "missingPositivePrompt", None),
    "voice model for a clip": (submit(model=VOICE), "invalidModel", "model"),
}


@pytest.mark.parametrize(("task", "code", "parameter"), REFUSED.values(), ids=REFUSED.keys())
def test_request_that_breaks_a_rule_is_refused(task: Item, code: str, parameter: Any) -> None:
    error = refusal(task, new_facts())
    assert error is not None
    assert (error["code"], error["taskUUID"], error["taskType"]) == (code, task["taskUUID"], task["taskType"])
    assert parameter in (None, error["parameter"])


def test_refusal_names_the_voices_of_the_language() -> None:
    error = refusal(speak(speech_voice="Johanna"), new_facts())
    assert error is not None
    assert error["allowedValues"] == ["Ashley", "Craig", "Nova"]


@pytest.mark.parametrize("facts", [{"audio": {}}, {}], ids=["empty map", "no map"])
def test_models_of_an_older_catalogue_have_no_rules(facts: Item) -> None:
    document = {"models": {}, "gone": {}, **facts}
    known = Facts(document)
    assert refusal(speak(speech_voice="Nobody"), known) is None
    assert refusal(play(duration=10), known) is None


def test_third_parties_facts_are_no_rules() -> None:
    facts = new_facts()
    facts.change(VOICE, evidence={"voices": "third_party"})
    assert refusal(speak(speech_voice="Nobody"), facts) is None


def test_facts_can_change() -> None:
    facts = new_facts()
    facts.change(MUSIC, duration={"min": 10, "max": 300})
    assert refusal(play(duration=12), facts) is None
    assert AUDIO[MUSIC]["duration"]["min"] == 30
    facts.retire(MUSIC)
    error = refusal(play(), facts)
    assert error is not None
    assert error["code"] == "unknownModel"


def test_refused_voice_makes_no_task() -> None:
    handler = new_handler(new_facts())
    task = speak(speech_voice="Nobody")
    assert handler.answer([task]).errors
    assert handler.answer([{"taskType": "getResponse", "taskUUID": task["taskUUID"]}]).data == ()
    assert handler.answer([{**task, "speech": speak()["speech"]}]).data
