"""Voices, music and stills: models with known facts, and requests for them."""

from typing import Any

from adreel.emulator.facts import Facts
from tests.local_runware.client import Item, new_uuid

VOICE, PLAIN_VOICE, MUSIC, NOISES = "inworld:tts@2", "xai:tts@0", "runware:ace-step@v1.5-base", "mirelo:1@1"
STILL, EDIT, SIZED, PLAIN_STILL = "google:4@3", "runware:108@20", "bfl:3@1", "ideogram:4@1"
FORMATS = ["MP3", "WAV", "FLAC", "OGG"]
WORDS = "Meet the glowing cap. It lights up every run, and you are seen from far away! Get yours today."
WORDS_SECONDS = 7.6
"""19 words at 2.5 a second."""

AUDIO: dict[str, Item] = {
    VOICE: {
        "slug": "inworld-tts-2",
        "name": "Realtime TTS-2",
        "creator": "Inworld",
        "kind": "speech",
        "required": ["speech"],
        "optional": ["audioSettings", "settings"],
        "speech": {"required": ["text", "voice"], "optional": ["language", "speed"]},
        "voices": {"en": ["Ashley", "Craig"], "de": ["Johanna"], "*": ["Nova"]},
        "languages": ["en", "de", "ja"],
        "text_length": [1, 2000],
        "speed": [0.5, 1.5],
        "speed_step": 0.05,
        "formats": FORMATS,
        "prices": [{"amount": 0.035, "per": "1000 characters"}],
    },
    PLAIN_VOICE: {
        "slug": "xai-tts",
        "name": "xAI TTS",
        "kind": "speech",
        "required": ["speech"],
        "optional": [],
        "formats": ["MP3"],
        "prices": [],
    },
    MUSIC: {
        "slug": "ace-step-v1-5-base",
        "name": "ACE-Step v1.5 Base",
        "creator": "ACE Studio",
        "kind": "music",
        "required": ["positivePrompt"],
        "optional": ["audioSettings", "duration", "negativePrompt", "seed", "settings", "steps"],
        "prompt_length": [1, 3000],
        "duration": {"min": 30, "max": 300, "default": 60},
        "formats": FORMATS,
        "prices": [{"amount": 0.0039, "per": "minute"}],
    },
    NOISES: {
        "slug": "mirelo-sfx-1-5",
        "name": "Mirelo SFX 1.5",
        "kind": "sound",
        "required": [],
        "optional": ["duration", "inputs", "positivePrompt", "seed"],
        "duration": {"min": 1, "max": 10, "default": 10},
        "formats": ["MP3", "FLAC"],
        "prices": [{"amount": 0.01, "per": "second"}],
    },
}
IMAGES: dict[str, Item] = {
    STILL: {
        "slug": "google-nano-banana-2",
        "name": "Nano Banana 2",
        "prompt": "required",
        "prompt_length": [3, 5000],
        "inputs": "optional",
        "references": 2,
        "width_height": "optional",
        "resolutions": ["0.5K", "1K", "2K", "4K"],
        "sizes": ["128x72", "72x128", "1024x1024"],
        "negative_prompt": False,
        "seed": True,
        "formats": ["JPG", "PNG", "WEBP"],
        "prices": [
            {"amount": 0.045, "per": "output", "label": "0.5K"},
            {"amount": 0.069, "per": "output", "label": "1K"},
            {"amount": 0.151, "per": "output", "label": "4K"},
        ],
    },
    EDIT: {
        "slug": "alibaba-qwen-image-edit",
        "name": "Qwen-Image-Edit",
        "prompt": "required",
        "inputs": "required",
        "width_height": "absent",
        "negative_prompt": True,
        "seed": True,
        "formats": ["JPG", "PNG"],
        "prices": [{"amount": 0.01, "per": "output"}],
    },
    SIZED: {
        "slug": "bfl-flux-1-kontext-pro",
        "name": "FLUX.1 Kontext [pro]",
        "prompt": "required",
        "inputs": "optional",
        "width_height": "required",
        "size_limits": {"min": 256, "max": 1440, "step": 16},
        "size_with_references": "excluded",
        "negative_prompt": False,
        "seed": False,
        "formats": ["JPG"],
        "prices": [],
    },
    PLAIN_STILL: {
        "slug": "ideogram-3-0",
        "name": "Ideogram 3.0",
        "prompt": "required",
        "inputs": "absent",
        "width_height": "required",
        "negative_prompt": True,
        "seed": True,
        "formats": ["JPG"],
        "prices": [],
    },
}


def new_facts() -> Facts:
    """Return facts with these models, and the clips of the catalogue."""
    known = Facts()
    return Facts({"models": known.models, "gone": known.gone, "audio": AUDIO, "images": IMAGES})


def _task(kind: str, fields: Item, changes: Item) -> Item:
    common = {
        "taskType": kind,
        "taskUUID": new_uuid(),
        "deliveryMethod": "async",
        "includeCost": True,
        "numberResults": 1,
        "outputType": "URL",
    }
    return {name: value for name, value in {**common, **fields, **changes}.items() if value is not None}


def speak(text: Any = WORDS, /, **changes: Any) -> Item:
    """Build a submit of a voice. Settings of `speech` are changed as speech_voice and so on; None removes a field."""
    speech: Item = {"text": text, "voice": "Ashley", "language": "en"}
    speech |= {name.removeprefix("speech_"): changes.pop(name) for name in list(changes) if name.startswith("speech_")}
    speech = {name: value for name, value in speech.items() if value is not None}
    return _task("audioInference", {"model": VOICE, "speech": speech, "outputFormat": "FLAC"}, changes)


def play(**changes: Any) -> Item:
    """Build a submit of music. None removes a field."""
    music = {"model": MUSIC, "positivePrompt": "calm piano with a soft beat", "duration": 30, "outputFormat": "FLAC"}
    return _task("audioInference", music, changes)


def draw(scenario: str = "Hook", /, **changes: Any) -> Item:
    """Build a submit of the smallest still. None removes a field."""
    prompt = f"{scenario} scene: a runner puts on a glowing cap"
    still = {"model": STILL, "positivePrompt": prompt, "width": 128, "height": 72, "outputFormat": "JPG"}
    return _task("imageInference", still, changes)
