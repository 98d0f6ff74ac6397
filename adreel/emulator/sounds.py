"""Sounds: the voice or the music that an accepted request orders. It determines every byte of the file."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from adreel.emulator.clips import seed_of
from adreel.emulator.replies import Item

WORDS_PER_SECOND = 2.5
CHARACTERS_PER_SECOND = 5.0
"""Of Chinese and Japanese, which are written without spaces."""
LETTERS_PER_SECOND = 10.0
"""Of Thai, Lao, Burmese and Khmer, which are written in letters without spaces."""
DEFAULT_SECONDS = 60
DEFAULT_FORMAT = "MP3"
SUFFIXES = {"MP3": ".mp3", "WAV": ".wav", "FLAC": ".flac", "OGG": ".ogg"}
"""The formats that the emulator renders, and the ends of the files' names."""
SENTENCE_ENDS = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"')\]\u201d\u2019\u300d]*$")
_LETTERS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_CHARACTERS = "\u3041-\u30ff\u3400-\u9fff"
_SPOKEN = re.compile(
    rf"(?P<letter>[{_LETTERS}][^\w\s]*)|(?P<character>[{_CHARACTERS}][^\w\s]*)|(?P<word>[^\s{_LETTERS}{_CHARACTERS}]+)"
)
_PACES = {"letter": LETTERS_PER_SECOND, "character": CHARACTERS_PER_SECOND, "word": WORDS_PER_SECOND}


@dataclass(frozen=True)
class Sound:
    """A sound to render. `text` is what a voice says, or the prompt of music; `singer` makes voices differ."""

    kind: Literal["voice", "music"]
    text: str
    model: str
    seed: int
    seconds: float
    format: str
    singer: str = ""
    is_silent: bool = False

    @classmethod
    def ordered(cls, task: Item, model: dict[str, Any] | None = None) -> "Sound":
        """Read the sound from an accepted request and the facts of its model."""
        audio_format, speech = task.get("outputFormat", DEFAULT_FORMAT), task.get("speech")
        if speech:
            return cls(
                kind="voice",
                text=speech["text"],
                model=task["model"],
                seed=seed_of(task),
                seconds=spoken_seconds(speech["text"], speech.get("speed", 1)),
                format=audio_format,
                singer=str(speech.get("voice", "")),
            )
        return cls(
            kind="music",
            text=task.get("positivePrompt", "").strip(),
            model=task["model"],
            seed=seed_of(task),
            seconds=float(task.get("duration", default_seconds(model))),
            format=audio_format,
        )

    @property
    def suffix(self) -> str:
        """Return the end of the file's name."""
        return SUFFIXES[self.format]


def default_seconds(model: dict[str, Any] | None) -> float:
    """Return the length of music whose request names none."""
    offered = (model or {}).get("duration")
    known = offered if isinstance(offered, dict) else {}
    return float(known.get("default") or known.get("min") or DEFAULT_SECONDS)


def spoken_parts(text: str) -> list[tuple[str, float]]:
    """Split a text into what is spoken in one go, a word or a character, with the seconds of each."""
    parts = [(found[0], 1 / _PACES[found.lastgroup or "word"]) for found in _SPOKEN.finditer(text)]
    # A dash between blanks is no word.
    return [(part, seconds) for part, seconds in parts if any(map(str.isalnum, part))] or parts


def spoken_seconds(text: str, speed: float) -> float:
    """Return how long a text is spoken, pauses included."""
    return sum(seconds for _, seconds in spoken_parts(text)) / speed
