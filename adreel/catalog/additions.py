"""Facts about the models of narrations, music and stills. An unknown fact is None, and is never guessed."""

from datetime import date
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from adreel.catalog.facts import DOCUMENTED, Fact, Rate

ANY_LANGUAGE = "*"
"""Key of the voices that speak every language of a model."""
LANGUAGE_NAMES = {
    "zh": "Chinese",
    "en": "English",
    "ja": "Japanese",
    "ko": "Korean",
    "de": "German",
    "fr": "French",
    "ru": "Russian",
    "pt": "Portuguese",
    "es": "Spanish",
    "it": "Italian",
}
"""Languages as models of Qwen name them."""
_SAME_LANGUAGE = {"cmn": "zh", "nb": "no", "nn": "no", "iw": "he", "tl": "fil"}
"""Codes of a part of a language, or of an earlier standard, and the usual one."""


def base_language(code: str) -> str:
    """Return the language of a code without its region: `de` for de-AT, `zh` for cmn-CN."""
    base = code.partition("-")[0].lower()
    return _SAME_LANGUAGE.get(base, base)


class Sourced(Fact):
    """A model with a source for each of its facts."""

    air: str
    slug: str
    name: str
    creator: str = ""
    status: Literal["live", "deprecated"] | None = None
    formats: tuple[str, ...] = Field((), examples=[("MP3", "FLAC")])
    prices: tuple[Rate, ...] = ()
    priced_on: date | None = None
    note: str = ""
    evidence: dict[str, str] = Field(default_factory=dict, description="Where a field is from; else the SDK's types")

    def evidence_of(self, field: str) -> str:
        """Return the kind of evidence of a fact."""
        return self.evidence.get(field, "sdk_types")

    def is_documented(self, field: str) -> bool:
        """Whether Runware itself has published a fact, so a request that contradicts it may be refused."""
        return self.evidence_of(field) in DOCUMENTED

    @property
    def title(self) -> str:
        """The name and the AIR, as messages show them."""
        return f"{self.name} ({self.air})"


class Speech(Fact):
    """The members of the parameter `speech`."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Whether it has a member."""
        return name in self.required or name in self.optional


class Length(Fact):
    """The lengths of a model's music in seconds."""

    min: float
    max: float
    default: float


class AudioModel(Sourced):
    """Offer of a model of speech, music or sounds."""

    kind: Literal["speech", "music", "sound"]
    required: tuple[str, ...] = Field((), description="Parameters of the request besides the common ones")
    optional: tuple[str, ...] = ()
    speech: Speech = Speech()
    voices: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Voices by language; `*` for those of every language"
    )
    default_voices: dict[str, str] = Field(default_factory=dict, description="By language, where not the first one")
    voice_names: dict[str, str] = Field(default_factory=dict, description="Names of voices that are mere ids")
    languages: tuple[str, ...] | None = Field(None, description="Values of `speech.language`")
    text_length: tuple[int, int] | None = Field(None, description="Least and most characters")
    prompt_length: tuple[int, int] | None = Field(None, description="Least and most characters")
    duration: Length | None = Field(None, description="None if the model decides, or it is unknown")
    speed: tuple[float, float] | None = None
    speed_step: float | None = None
    instrumental: dict[str, Any] = Field(
        default_factory=dict, description="Parameters that keep voices out of the music"
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = {name for names in self.voices.values() for name in names}
        if unknown := {*self.default_voices.values(), *self.voice_names} - known:
            raise ValueError(f"no voices of it: {', '.join(sorted(unknown))}")
        return self

    def takes(self, name: str) -> bool:
        """Whether its request has a parameter."""
        return name in self.required or name in self.optional

    @property
    def is_narrator(self) -> bool:
        """Whether it speaks a text without a recording or a description of a voice."""
        return self.kind == "speech" and set(self.required) <= {"speech"}

    @property
    def is_composer(self) -> bool:
        """Whether it makes music from a prompt alone."""
        return self.kind == "music" and set(self.required) <= {"positivePrompt"}

    def voices_of(self, language: str) -> tuple[str, ...]:
        """Return the voices of a language, its own ones first."""
        base = base_language(language)
        own = next((names for code, names in self.voices.items() if base_language(code) == base), ())
        return own + self.voices.get(ANY_LANGUAGE, ())

    def language_of(self, voice: str) -> str | None:
        """Return the language that a voice belongs to; None if it speaks every language, or is unknown."""
        return next((code for code, names in self.voices.items() if voice in names and code != ANY_LANGUAGE), None)

    def default_voice(self, language: str) -> str | None:
        """Return the voice of a narrator who only names a language; None if there is none for it."""
        base, offered = base_language(language), self.voices_of(language)
        wanted = self.default_voices.get(base, self.default_voices.get(ANY_LANGUAGE, ""))
        return wanted if wanted in offered else next(iter(offered), None)

    def usual_voice(self, language: str, *, is_named: bool) -> str | None:
        """Return the voice to send where none is wished for; None if the model's own choice is good enough."""
        is_needed = "voice" in self.speech.required or is_named or bool(self.default_voices)
        return self.default_voice(language) if is_needed else None

    def speaks(self, language: str) -> bool:
        """Whether it is known to speak a language."""
        base = base_language(language)
        return self.language_value(language) is not None or any(base_language(code) == base for code in self.voices)

    def language_value(self, language: str) -> str | None:
        """Return the value of `speech.language` for a code such as de-AT; None if there is none."""
        wanted, base = language.lower(), base_language(language)
        values = {value.lower(): value for value in self.languages or ()}
        if found := values.get(wanted) or values.get(LANGUAGE_NAMES.get(base, base).lower()):
            return found
        return next((value for value in self.languages or () if base_language(value) == base), None)


class SizeLimits(Fact):
    """The sizes of a model that takes any: least and most pixels of a side, and their step."""

    min: int
    max: int
    step: int = 1


class ImageModel(Sourced):
    """Offer of an image model."""

    prompt: Literal["required", "optional", "absent"]
    inputs: Literal["required", "optional", "absent"]
    references: int | None = Field(None, description="Most reference images")
    size_with_references: Literal["excluded", "allowed"] | None = None
    width_height: Literal["required", "optional", "absent"]
    sizes: tuple[str, ...] | None = Field(None, description="The known sizes in pixels, as WIDTHxHEIGHT")
    size_limits: SizeLimits | None = None
    resolutions: tuple[str, ...] | None = Field(None, description="Values of `resolution`, which excludes a size")
    negative_prompt: bool
    seed: bool

    @property
    def is_painter(self) -> bool:
        """Whether it makes a picture from a prompt alone."""
        return self.prompt != "absent" and self.inputs != "required" and "JPG" in self.formats
