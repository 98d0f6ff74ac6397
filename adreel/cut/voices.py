"""Where the bought voice of a scene is heard, by its measured length."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from adreel.cut.plan import RATE

LEAD = 0.2
"""Seconds of a scene before its voice starts. A voice that nearly fills its scene starts earlier."""
FASTEST = 1.2
"""Highest speed. Speech that is faster sounds hurried."""


@dataclass(frozen=True)
class PlacedVoice:
    """A voice in frames of its scene: the first one with it and the first one behind it."""

    start: int
    end: int
    speed: float = 1.0
    lost: float = 0.0
    """Seconds at its end that are not heard, because the scene is too short for them."""

    def stretches(self, found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return stretches of the file in frames of the scene."""
        placed = [
            (self.start + math.floor(start / self.speed), min(self.start + math.ceil(end / self.speed), self.end))
            for start, end in found
        ]
        return [(start, end) for start, end in placed if start < end] or [(self.start, self.end)]


def place_voice(seconds: float, frames: int) -> PlacedVoice:
    """Decide when a voice starts in a scene of so many frames, and how fast it is spoken."""
    room = frames / RATE
    speed = round(min(max(seconds / room, 1.0), FASTEST), 4)
    heard = min(seconds / speed, room)
    # As much room behind it as before it, if there is little.
    start = math.floor(min(LEAD, (room - heard) / 2) * RATE)
    # Rounded up, so that no sample is lost, but not for the inexact product of a whole number.
    end = min(start + max(1, math.ceil(heard * RATE - 1e-6)), frames)
    return PlacedVoice(start, end, speed, round(max(0.0, seconds - room * FASTEST), 1))
