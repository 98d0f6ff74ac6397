"""Results of a probe."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measures:
    """A file as a player shows it: seconds, sides in pixels after rotation, loudness in LUFS (None for silence).

    Sound has no sides, and a still no duration.
    """

    duration: float
    width: int
    height: int
    loudness: float | None = None


@dataclass(frozen=True)
class Findings:
    """Measures of a file, or the reason for their absence; `truncation` says where a truncated file ends."""

    measures: Measures | None = None
    reason: str = ""
    truncation: str = ""
    tells_length: bool = True
    """Whether the file itself tells its length."""
