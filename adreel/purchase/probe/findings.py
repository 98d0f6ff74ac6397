"""Results of a probe."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measures:
    """A playable clip as a player shows it; `duration` in seconds, sides in pixels after rotation."""

    duration: float
    width: int
    height: int


@dataclass(frozen=True)
class Findings:
    """Measures of a clip, or the reason for their absence; `truncation` says where a truncated file ends."""

    measures: Measures | None = None
    reason: str = ""
    truncation: str = ""
