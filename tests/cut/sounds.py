"""Sounds as samples and as files."""

import math
from array import array
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream

from adreel.cut.render.samples import SAMPLE_BYTES
from tests.cut.unlike_clips import tone

RATE = 48000


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
