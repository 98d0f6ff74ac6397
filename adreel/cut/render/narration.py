"""The bought voices of scenes as one sound: each in its place, and all equally loud."""

import math
from collections.abc import Sequence

from adreel.cut.plan import SAMPLE_RATE, SAMPLES_PER_FRAME, VoicePlan
from adreel.cut.render.samples import SAMPLE_BYTES, chain, combined, filtered, measure
from adreel.cut.render.sources import file_samples

LOUDNESS = -20.0
"""LUFS of each voice. The mix follows it, and the finished sound has a loudness of its own."""
HIGHEST_GAIN = 20.0
LONGEST_FADE = 0.15
"""Seconds of the fade of a voice that is trimmed."""
SPARE = SAMPLE_RATE // 2
"""Samples behind the place of a voice that are decoded, to know whether it is trimmed."""


def narration(voices: Sequence[VoicePlan], length: int) -> bytes:
    """Return the voices at their places as `length` float stereo samples; InputError if one can't be read."""
    track = bytearray(length * SAMPLE_BYTES)
    for voice in voices:
        samples = _placed(voice)
        start = voice.start * SAMPLES_PER_FRAME * SAMPLE_BYTES
        track[start : start + len(samples)] = samples
    return bytes(track[: length * SAMPLE_BYTES])


def _placed(voice: VoicePlan) -> bytes:
    """Return a voice at its speed and loudness, in at most its frames."""
    most = voice.frames * SAMPLES_PER_FRAME
    samples = file_samples(voice.file, math.ceil(most * voice.speed) + SPARE)
    if voice.speed != 1:
        tempo = [("atempo", f"{voice.speed:.4f}")]
        samples = combined([samples], lambda graph, sources: chain(graph, sources[0], tempo))
    over = (len(samples) // SAMPLE_BYTES - most) / SAMPLE_RATE
    samples = samples[: most * SAMPLE_BYTES]
    loudness = measure(samples)
    gain = 0.0 if loudness.is_silent else min(LOUDNESS - loudness.integrated, HIGHEST_GAIN)
    filters = [("volume", f"{gain:.2f}dB:precision=float")]
    if over > 0:
        # A voice that is cut off would click.
        fade = min(over, LONGEST_FADE)
        filters.append(("afade", f"type=out:start_time={most / SAMPLE_RATE - fade:.6f}:duration={fade:.6f}"))
    return filtered(samples, *filters)
