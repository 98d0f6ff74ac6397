"""A clip's sound: a soft chord that follows from the seed, or silence."""

import math
import random
from array import array
from collections.abc import Iterator

from av import AudioFrame

RATE = 44100
SAMPLES_PER_FRAME = 1024
LOUDNESS = 0.05
FADE_SECONDS = 0.15
LOWEST, HIGHEST = 110, 220
CHORDS = ((1.0, 5 / 4, 3 / 2, 2.0), (1.0, 6 / 5, 3 / 2, 2.0), (1.0, 4 / 3, 3 / 2, 9 / 4), (1.0, 5 / 4, 3 / 2, 15 / 8))


def frames(seed: int, seconds: float, *, sound: bool) -> Iterator[AudioFrame]:
    """Yield the frames of a mono track that is no longer than the clip."""
    blocks = max(1, int(seconds * RATE) // SAMPLES_PER_FRAME)
    samples = _chord(seed, blocks * SAMPLES_PER_FRAME) if sound else array("f", bytes(4)) * blocks * SAMPLES_PER_FRAME
    for block in range(blocks):
        start = block * SAMPLES_PER_FRAME
        frame = AudioFrame(format="fltp", layout="mono", samples=SAMPLES_PER_FRAME)
        frame.sample_rate, frame.pts = RATE, start
        frame.planes[0].update(samples[start : start + SAMPLES_PER_FRAME].tobytes())
        yield frame


def _chord(seed: int, length: int) -> "array[float]":
    dice = random.Random(seed)  # noqa: S311  (music, not secrets)
    root = dice.randint(LOWEST, HIGHEST)
    # Whole Hertz: one second of the chord can be repeated without a click, and only that second is computed.
    notes = [round(root * step) for step in dice.choice(CHORDS)]
    turns = [2 * math.pi * note / RATE for note in notes]
    loop = array("f", (LOUDNESS * sum(math.sin(turn * n) for turn in turns) for n in range(min(RATE, length))))
    return _faded((loop * (length // len(loop) + 1))[:length])


def _faded(samples: "array[float]") -> "array[float]":
    steps = min(int(FADE_SECONDS * RATE), len(samples) // 2)
    for step in range(steps):
        samples[step] *= step / steps
        samples[-1 - step] *= step / steps
    return samples
