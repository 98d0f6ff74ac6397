"""Facts about a video model. An unknown fact is None, and is never guessed."""

import re
from datetime import date
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

DOCUMENTED = frozenset(
    {
        "sdk_types",
        "docs",
        "docs_page",
        "docs_copy_2026-10",
        "docs_2025-10",
        "schema",
        "schema_copy",
        "schema_rules_2026-09-24",
        "content_api",
        "content_api_copy",
        "protocol",
    }
)
"""Kinds of evidence that allow a refusal: pages, schemas and types that Runware has published."""

_RESOLUTION = re.compile(r"\d+p|\dk", re.IGNORECASE)
_SECONDS = re.compile(r"(up to )?(\d+) s\b")
_SPECIAL = re.compile(r"draft|speed|uploaded|(?<!no )video input|beyond|of audio", re.IGNORECASE)
_INPUTS = re.compile(r"\b(text|image|reference)\b")
_FREE_IMAGES = re.compile(r"beyond the first (\d+)")


Position = Literal["first", "last"]


class Fact(BaseModel, frozen=True, extra="ignore"):
    """Base of facts: a newer catalogue may tell more."""


class Duration(Fact):
    """The durations of a model in seconds: `values`, or a range; neither if only their kind is known."""

    whole: bool = Field(True, description="Whether only whole seconds are accepted")
    values: tuple[int, ...] | None = None
    min: int | None = None
    max: int | None = None
    default: float | None = None
    required: bool = False

    def offers(self, seconds: float) -> bool:
        """Whether nothing that is known speaks against a duration."""
        if self.whole and not float(seconds).is_integer():
            return False
        if self.values is not None:
            return seconds in self.values
        return (self.min or 0) <= seconds <= (self.max or float("inf"))

    @property
    def seconds(self) -> list[int] | None:
        """The offered whole seconds, if they are limited."""
        if self.values is not None:
            return list(self.values)
        return None if self.max is None else list(range(self.min or 1, self.max + 1))

    def __str__(self) -> str:
        if self.values is not None:
            return f"{', '.join(map(str, self.values))} seconds"
        if self.max is not None:
            return f"{self.min or 1} to {self.max} seconds"
        return "whole seconds" if self.whole else "any number of seconds"


class Sound(Fact):
    """The sound of a model: the parameter that switches it, if known, and whether it sounds without one."""

    parameter: str | None = Field(None, examples=["settings.audio", "providerSettings.google.generateAudio"])
    default: bool | None = None


class Frames(Fact):
    """The frame images of a model."""

    max: int
    positions: tuple[Position, ...]


class Rate(Fact):
    """A price in USD, as Runware labels it."""

    amount: float
    per: str = Field(examples=["second", "output", "input image"])
    label: str = Field("", examples=["720p, no audio", "768p, 6 s"])

    @property
    def resolutions(self) -> frozenset[str]:
        """The resolutions that it is for, in lower case; empty for all."""
        return frozenset(found.lower() for found in _RESOLUTION.findall(self.label))

    @property
    def sound(self) -> bool | None:
        """Whether it is for clips with or without sound; None for both."""
        if "audio" not in self.label:
            return None
        return not re.search(r"\b(no|without) audio", self.label)

    @property
    def inputs(self) -> frozenset[str]:
        """The kinds of input that it is for: text, image (a frame) or reference; empty for all."""
        return frozenset(_INPUTS.findall(self.label))

    def per_clip(self, seconds: float | None) -> float | None:
        """Return the USD of a clip of this length; None if the rate is for something else, or the length is unknown."""
        if _SPECIAL.search(self.label):
            return None
        if self.per == "second":
            return self.amount * seconds if seconds is not None else None
        length = _SECONDS.search(self.label)
        if self.per != "output" or (length and seconds is None):
            return None
        if length is None or seconds == int(length[2]) or (length[1] and seconds < int(length[2])):  # type: ignore[operator]
            return self.amount
        return None

    def per_second(self, seconds: float) -> float | None:
        """Return the USD per second of a clip of this length; None if the rate is for something else."""
        price = None if self.inputs == {"reference"} else self.per_clip(seconds)
        if price is None or self.per == "second":
            return price and self.amount
        return price / seconds

    def for_images(self, count: int) -> float:
        """Return the USD of so many input images; 0 if the rate is for something else."""
        if self.per != "input image":
            return 0
        free = _FREE_IMAGES.search(self.label)
        return self.amount * max(0, count - int(free[1] if free else 0))


class VideoModel(Fact):
    """Offer of a video model. `None` is unknown, "absent" is known not to exist."""

    air: str
    slug: str
    name: str
    creator: str
    kind: Literal["generate", "edit", "talking", "agent"]
    status: Literal["live", "deprecated"] | None = None
    deactivates_on: date | None = None
    replaced_by: str | None = None
    released: date | None = None
    prompt: Literal["required", "optional", "absent"] | None = None
    prompt_length: tuple[int, int] | None = Field(None, description="Least and most characters")
    inputs: Literal["required", "optional"] | None = None
    text_to_video: bool
    negative_prompt: bool | None = None
    seed: bool | None = None
    duration: Duration | Literal["absent"] | None = None
    frame_durations: tuple[int, ...] | None = Field(None, description="The durations next to frame images, if fewer")
    width_height: Literal["required", "optional", "absent"] | None = None
    sizes: tuple[str, ...] | None = Field(None, description="The only sizes in pixels, as WIDTHxHEIGHT")
    size_durations: dict[str, tuple[int, ...]] = Field(default_factory=dict, description="Where a size allows fewer")
    size_with_frames: Literal["excluded", "allowed"] | None = None
    resolutions: tuple[str, ...] | None = Field(None, description="Values of `resolution`, which excludes a size")
    frames: Frames | None = None
    references: int | None = Field(None, description="Most reference images")
    frames_with_references: bool | None = None
    sound: Sound | Literal["absent"] | None = None
    settings: Literal["settings", "providerSettings"] | None = Field(
        None, description="Where the model's own settings go; providerSettings nest one level deeper"
    )
    parameters: tuple[str, ...] = Field((), description="Further parameters of the request, such as fps")
    modes: tuple[str, ...] = Field((), description="Kinds of input in published examples; not a complete list")
    prices: tuple[Rate, ...] = ()
    priced_on: date | None = None
    render_seconds: tuple[float, float] | None = Field(None, description="Least and most render time in examples")
    note: str = ""
    evidence: dict[str, str] = Field(default_factory=dict, description="Where a field is from; else the SDK's types")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.sizes is not None and not all(re.fullmatch(r"\d+x\d+", size) for size in self.sizes):
            raise ValueError("a size is not WIDTHxHEIGHT")
        return self

    def evidence_of(self, field: str) -> str:
        """Return the kind of evidence of a fact."""
        evidence = self.evidence.get("media", "sdk_types") if field in {"frames", "references"} else "sdk_types"
        return self.evidence.get(field, evidence)

    def is_documented(self, field: str) -> bool:
        """Whether Runware itself has published a fact, so a request that contradicts it may be refused."""
        return self.evidence_of(field) in DOCUMENTED

    @property
    def provider(self) -> str:
        """The name under which providerSettings nest."""
        return self.air.partition(":")[0]

    @property
    def has_sound(self) -> bool | None:
        """Whether it can make sound; None if unknown."""
        return None if self.sound is None else self.sound != "absent"

    @property
    def switches_sound(self) -> bool:
        """Whether a known parameter switches its sound."""
        return isinstance(self.sound, Sound) and self.sound.parameter is not None

    def has_frame(self, position: Position) -> bool | None:
        """Whether a scene can start from or end with an image; None if unknown."""
        if self.frames is not None:
            return position in self.frames.positions
        if "first-last-frame" in self.modes or (position == "first" and "first-frame" in self.modes):
            return True
        return None

    @property
    def takes_references(self) -> bool | None:
        """Whether it takes reference images; None if unknown."""
        if self.references is not None:
            return self.references > 0
        return True if "reference" in self.modes else None
