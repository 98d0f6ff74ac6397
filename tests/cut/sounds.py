"""Sounds as samples and as files."""

import math
from array import array
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream

from adreel.cut.render.samples import SAMPLE_BYTES, sound_frame
from tests.cut.unlike_clips import tone

RATE = 48000
WORD, GAP = 0.4, 0.1
"""Seconds of a word with the gap behind it, and of that gap."""


def sine(seconds: float, decibels: float, pitch: float = 300.0) -> bytes:
    amplitude = 10 ** (decibels / 20)
    values = (amplitude * math.sin(2 * math.pi * pitch * number / RATE) for number in range(round(seconds * RATE)))
    return array("f", (value for value in values for _ in (0, 1))).tobytes()


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * RATE) * SAMPLE_BYTES)


def part(samples: bytes, start: float, end: float) -> bytes:
    return samples[round(start * RATE) * SAMPLE_BYTES : round(end * RATE) * SAMPLE_BYTES]


def loudest(samples: bytes) -> float:
    return max(map(abs, array("f", samples)), default=0.0)


def words(count: int, *, before: float = 0, behind: float = 0, decibels: float = -20, pitch: float = 300) -> bytes:
    """Return bursts of a tone with short gaps, as long as spoken words, between two silences in seconds."""
    spoken = (sine(WORD - GAP, decibels, pitch) + silence(GAP)) * count
    return silence(before) + spoken + silence(behind)


def write_flac(path: Path, samples: bytes) -> Path:
    with av.open(str(path), "w", format="flac") as target:
        stream = target.add_stream("flac", rate=RATE, layout="stereo")
        for start in range(0, len(samples) // SAMPLE_BYTES, 4096):
            block = samples[start * SAMPLE_BYTES : (start + 4096) * SAMPLE_BYTES]
            target.mux(stream.encode(sound_frame(block, start)))
        target.mux(stream.encode(None))
    return path


def write_sound(
    path: Path, *, seconds: float = 3, layout: str = "stereo", rate: int = RATE, pitch: float = 300
) -> Path:
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "libmp3lame", ".ogg": "libopus", ".m4a": "aac"}[path.suffix]
    with av.open(str(path), "w") as target:
        stream = cast(AudioStream, target.add_stream(codec, rate=rate, layout=layout))
        for frame in tone(seconds, rate, layout, pitch=pitch):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path
