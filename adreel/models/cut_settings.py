"""Settings of the finished ad, as people write them in a session's `cut` block."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from adreel.models.open_model import OpenModel

Format = Literal["16:9", "9:16", "1:1", "4:5"]
Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
MediaFile = Annotated[
    str, Field(max_length=2000, description="A file on your machine, relative to the session file, or a stored input")
]
Words = Annotated[str, Field(max_length=200)]

SIZES: dict[Format, tuple[int, int]] = {
    "16:9": (1920, 1080),
    "9:16": (1080, 1920),
    "1:1": (1080, 1080),
    "4:5": (1080, 1350),
}
"""Pixels of a format at full size. A cut is never larger than its clips."""


class Transition(OpenModel):
    """How scenes follow each other."""

    kind: Literal["cut", "fade"] = "cut"
    seconds: Annotated[float, Field(gt=0, le=3, description="Length of a fade")] = 0.5


class Captions(OpenModel, serialize_by_alias=True):
    """Words that are burnt into the picture, and written to an SRT file beside it."""

    source: Literal["narration", "file"] = Field("narration", alias="from", description="Where the words come from")
    file: MediaFile | None = Field(None, description="An SRT file; its times count from the start of the ad")
    style: Literal["plain", "pill", "word"] = Field("pill", description="`word` shows the spoken word in colour")


class Music(OpenModel):
    """A music bed below the whole ad, in place of bought music."""

    file: MediaFile
    below_voice: Annotated[float, Field(ge=0, le=40, description="Decibels below the voice while it speaks")] = 12


class Logo(OpenModel):
    """A picture in a corner of every scene."""

    file: MediaFile
    corner: Corner = "top-right"


class EndCard(OpenModel):
    """A still card behind the last scene."""

    seconds: Annotated[float, Field(gt=0, le=10)] = 2
    text: Words = ""
    url: Words = ""


class CutSettings(OpenModel):
    """How the finished ad is made. Everything is optional."""

    formats: list[Format] | None = Field(None, min_length=1, description="By default the format of the clips")
    transition: Transition = Field(default_factory=Transition)
    captions: Annotated[Captions | None, BeforeValidator(lambda value: None if value is False else value)] = Field(
        default_factory=Captions, description="`false` for none"
    )
    voice: MediaFile | None = Field(None, description="A narration from the start of the ad, in place of bought voices")
    music: Music | None = None
    logo: Logo | None = None
    end_card: EndCard | None = None
    fit: Literal["crop", "blur"] = Field("crop", description="How a clip fills another format")
    loudness: Annotated[float, Field(ge=-31, le=-9, description="LUFS")] = -14

    def named_files(self) -> list[tuple[str, str]]:
        """Return the fields that name files, and the files."""
        found = [
            ("captions.file", self.captions.file if self.captions else None),
            ("voice", self.voice),
            ("music.file", self.music.file if self.music else None),
            ("logo.file", self.logo.file if self.logo else None),
        ]
        return [(f"cut.{name}", file) for name, file in found if file]

    def with_files(self, renamed: Mapping[str, str]) -> Self:
        """Return a copy that names some files differently."""
        update: dict[str, Any] = {"voice": renamed.get(self.voice, self.voice)} if self.voice else {}
        for name in ("captions", "music", "logo"):
            block = getattr(self, name)
            if block is not None and block.file in renamed:
                update[name] = block.model_copy(update={"file": renamed[block.file]})
        return self.model_copy(update=update)


class CutOptions(OpenModel, frozen=True):
    """What is asked of one cut beyond the settings of its session."""

    formats: tuple[Format, ...] = Field((), description="In place of the session's formats")
    preset: str | None = Field(None, description="A placement: its format, and its safe area for captions")
    captions: bool = Field(True, description="`false` leaves the captions out")
    allow_missing: bool = Field(False, description="Make a shorter ad of the scenes that have clips")
