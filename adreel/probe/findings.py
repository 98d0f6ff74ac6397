"""What a probe tells of a clip."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measures:
    """A decodable clip as a player shows it; `duration` in seconds, sides in pixels after rotation."""

    duration: float
    width: int
    height: int
    has_poster: bool = False


@dataclass(frozen=True)
class Findings:
    """What was found: measures, or the reason why there are none; `broken_off` says where the file ends too early."""

    measures: Measures | None = None
    reason: str = ""
    broken_off: str = ""
