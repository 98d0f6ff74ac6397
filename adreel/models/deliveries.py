"""Manifests: what was delivered to a destination."""

from pydantic import BaseModel, Field

from adreel.models.cut_settings import Format


class DeliveredFile(BaseModel):
    """A delivered film, as measured. `size` in bytes, `duration` in seconds, loudness in LUFS, true peak in dBTP."""

    preset: str
    format: Format
    file: str
    poster: str | None
    captions: str | None
    sha256: str
    size: int
    width: int
    height: int
    duration: float
    frames: int
    loudness: float | None
    true_peak: float | None
    cut_id: str
    advice: list[str] = Field(description="What the placement advises against")


class CheckedPlacement(BaseModel):
    """A placement, and the rules that the files were checked against."""

    preset: str
    source: str
    as_of: str


class Manifest(BaseModel):
    """A delivery. It has no date, so that delivering the same files again changes nothing."""

    session_id: str
    product_name: str
    placements: list[CheckedPlacement]
    files: list[DeliveredFile]
