"""Cuts: what a finished ad was made from, and its files, as they are recorded."""

from pydantic import AwareDatetime, BaseModel, Field

from adreel.models.api import ClipWarning
from adreel.models.cut_settings import CutSettings, Format
from adreel.models.scenarios import Scenario


class CutInput(BaseModel, extra="allow"):
    """A clip of a cut: the take that was current when it was made."""

    scenario: Scenario
    job_id: str
    take: str = Field(description="The eight characters in its clip's file name")
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


class Cut(BaseModel, extra="allow"):
    """The record of a finished ad: what it was made from, and its files."""

    schema_version: int = 1
    session_id: str
    cut_id: str = Field(description="Eight characters of the digest of inputs, settings and renderer")
    digest: str
    created_at: AwareDatetime
    renderer: str
    inputs: list[CutInput] = Field(min_length=1)
    settings: CutSettings
    files: list[CutFile]
    warnings: list[ClipWarning] = Field(default_factory=list)
