"""Cuts: what a finished ad was made from, and its files, as they are recorded."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from adreel.models.api import ClipWarning
from adreel.models.cut_settings import CutOptions, CutSettings, Format
from adreel.models.parts import Addition
from adreel.models.record import Record
from adreel.models.scenarios import Scenario

CUT_FAILED = "CutFailed"
"""Name of the final state of a run whose clips are stored, but whose finished ad could not be made."""


class CutInput(BaseModel, extra="allow"):
    """A clip of a cut: the take that was current when it was made."""

    scenario: Scenario
    job_id: str
    take: str = Field(description="The eight characters in its clip's file name")
    file: str
    sha256: str


class CutAddition(BaseModel, extra="allow"):
    """A bought voice or the bought music of a cut: the take that was current when it was made."""

    part: Addition
    job_id: str
    take: str = Field(description="The eight characters in its file name")
    file: str
    sha256: str


class CutFile(BaseModel, extra="allow", allow_inf_nan=False):
    """A finished file, as measured by decoding it. `size` in bytes, `duration` in seconds."""

    format: Format
    file: str
    poster: str | None = None
    captions: str | None = Field(None, description="The SRT file beside it")
    sha256: str
    size: int
    width: int
    height: int
    duration: float
    frames: int
    loudness: float | None = Field(None, description="LUFS; null for silence")
    true_peak: float | None = Field(None, description="dBTP; null for silence")


class CutSegment(BaseModel, extra="allow"):
    """A rendered clip that the storage keeps for the next cut."""

    file: str = Field(description="Name in the folder cuts/segments of the session")
    sha256: str


class Cut(Record):
    """The record of a finished ad: what it was made from, and its files."""

    session_id: str
    cut_id: str = Field(description="Eight characters of the digest of inputs, settings and renderer")
    digest: str
    created_at: AwareDatetime
    renderer: str
    inputs: list[CutInput] = Field(min_length=1)
    additions: list[CutAddition] = Field(default_factory=list, description="Its bought voices and music")
    settings: CutSettings = Field(description="Those of the session, with what the options and defaults make of them")
    options: CutOptions = Field(default_factory=CutOptions)
    files: list[CutFile]
    segments: list[CutSegment] = Field(default_factory=list)
    warnings: list[ClipWarning] = Field(default_factory=list)

    @property
    def file_names(self) -> list[str]:
        """The names of all its files: videos, posters and captions."""
        return [name for file in self.files for name in (file.file, file.poster, file.captions) if name]


class CutFileView(CutFile):
    """A finished file with its addresses."""

    url: str = Field(examples=["/outputs/abc-123_cut_1f3a9c04_16x9.mp4"])
    poster_url: str | None = None
    captions_url: str | None = None


class CutView(BaseModel):
    """A finished ad for people and pages."""

    session_id: str
    cut_id: str
    created_at: AwareDatetime
    state: Literal["current", "stale"] = Field(
        description="`stale`: a clip, a voice, the music or a setting has changed since"
    )
    inputs: list[CutInput]
    additions: list[CutAddition] = Field(default_factory=list, description="Its bought voices and music")
    files: list[CutFileView]
    warnings: list[ClipWarning]


class CutList(BaseModel):
    """The cuts of a session, the newest first."""

    cuts: list[CutView]


class VideoCutResponse(BaseModel):
    """A job that makes a finished ad was started, or the ad is made already."""

    success: bool
    message: str = Field(examples=["The finished ad is being made"])
    job_id: str | None = Field(
        description="For status, events and cancel; null if the ad is made already",
        examples=["3097ff71-41eb-4f32-87bb-83b77b4d2311"],
    )
    cut: CutView | None = Field(None, description="The ad, if it is made already")


def cut_file_name(session_id: str, cut_id: str, shape: Format, suffix: str = ".mp4") -> str:
    """Return the name of a finished file."""
    return f"{session_id}_cut_{cut_id}_{shape.replace(':', 'x')}{suffix}"


def segment_path(session_id: str, name: str = "") -> str:
    """Return the path of a segment, or of the folder of all segments of a session."""
    return f"sessions/{session_id}/cuts/segments/{name}".rstrip("/")
