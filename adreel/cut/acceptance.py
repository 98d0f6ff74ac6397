"""What a placement would refuse in a finished film, and what it advises against."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adreel.cut.plan import LONGEST_MEASURED, FileFacts
from adreel.cut.render.process import describe
from adreel.errors import CutFailed, InputError
from adreel.models.cut_settings import SIZES, Format
from adreel.models.placements import Placement

NEARLY = 0.02
"""Share by which an aspect ratio may differ: sides are whole and even."""
LOUDNESS, LOUDNESS_TOLERANCE, HIGHEST_PEAK = -14.0, 1.0, -1.0
MAX_RATE = 60.5


@dataclass(frozen=True)
class Verdict:
    """What a placement would refuse, and its advice; one sentence each."""

    refusals: tuple[str, ...]
    advice: tuple[str, ...]


async def measure_film(file: Path) -> FileFacts:
    """Measure a local film; InputError if it can't be read."""
    try:
        [facts] = await describe([file])
    except (CutFailed, InputError) as error:
        raise InputError(f"can't read this film: {error}") from None
    return facts


def judge(placement: Placement, facts: FileFacts) -> Verdict:
    """Judge the facts of a film for a placement."""
    return Verdict(tuple(_refusals(placement, facts)), tuple(_advice(placement, facts)))


def judge_length(placement: Placement, seconds: float) -> str:
    """Return why a placement would refuse a length; "" if it would not."""
    # A frame more or less is rounding.
    if placement.shortest is not None and seconds < placement.shortest - 1 / 30:
        return f"it lasts {seconds:.1f} s, and {placement.name} wants at least {placement.shortest:g} s"
    if placement.longest is not None and seconds > placement.longest + 1 / 30:
        return f"it lasts {seconds:.1f} s, and {placement.name} allows {placement.longest:g} s"
    return ""


def format_of(width: int, height: int) -> Format | None:
    """Return the format of a size; None for another aspect ratio."""
    for shape, (wide, high) in SIZES.items():
        if abs(math.log(width / height * high / wide)) <= NEARLY:
            return shape
    return None


def _refusals(placement: Placement, facts: FileFacts) -> Iterator[str]:
    name, shape = placement.name, format_of(facts.width, facts.height)
    if "mp4" not in facts.container:
        yield f"it is {facts.container} and not MP4"
    if shape not in placement.formats:
        yield f"its size is {facts.width}x{facts.height}, and {name} shows {', '.join(placement.formats)}"
    elif (side := min(facts.width, facts.height)) < (least := placement.min_side.get(shape, 0)):
        yield f"its shorter side has {side} pixels, and {name} wants at least {least}"
    if refused := judge_length(placement, facts.duration):
        yield refused
    if placement.max_bytes is not None and facts.size > placement.max_bytes:
        yield f"it has {facts.size / 1e6:.1f} MB, and {name} allows {placement.max_bytes / 1e6:.0f} MB"
    if placement.min_bit_rate is not None and facts.bit_rate < placement.min_bit_rate:
        yield (
            f"it has {facts.bit_rate / 1000:.0f} kbit/s, and {name} wants at least {placement.min_bit_rate / 1000:.0f}"
        )
    if facts.video_codec not in {"h264", "hevc"}:
        yield f"its picture is {facts.video_codec} and neither H.264 nor HEVC"
    if not facts.is_constant:
        yield "its frame rate varies"
    if facts.rate > MAX_RATE:
        yield f"it has {facts.rate:g} frames per second, and 60 are allowed"
    if facts.audio_codec not in {None, "aac"}:
        yield f"its sound is {facts.audio_codec} and not AAC"


def _advice(placement: Placement, facts: FileFacts) -> Iterator[str]:
    if placement.advised is not None:
        least, most = placement.advised
        if not least <= facts.duration <= most:
            wanted = f"{least:g} to {most:g} s" if least else f"less than {most:g} s"
            yield f"{placement.name} advises {wanted}, and it lasts {facts.duration:.1f} s"
    if facts.video_codec == "hevc":
        yield "its picture is HEVC, and H.264 plays everywhere"
    elif facts.video_codec == "h264" and facts.profile != "High":
        yield f"its profile is {facts.profile or 'unknown'}, and High looks better at the same size"
    if facts.pixel_format != "yuv420p":
        yield f"its pixel format is {facts.pixel_format}, and not every player shows another one than yuv420p"
    if not facts.index_first:
        yield "its index stands behind its media: it can't start before all of it is there"
    yield from _advice_on_sound(placement, facts)


def _advice_on_sound(placement: Placement, facts: FileFacts) -> Iterator[str]:
    if facts.audio_codec is None:
        yield "it has no sound"
        return
    least_rate = placement.advised_audio_bit_rate
    if least_rate is not None and facts.audio_bit_rate < least_rate * 0.9 and facts.loudness is not None:
        yield f"its sound has {facts.audio_bit_rate / 1000:.0f} kbit/s, and {least_rate / 1000:.0f} are advised"
    if abs(facts.audio_duration - facts.duration) > 0.1:
        yield f"its sound lasts {facts.audio_duration:.2f} s and its picture {facts.duration:.2f} s"
    if facts.loudness is None:
        if facts.audio_duration <= LONGEST_MEASURED:
            yield "it is silent"
    elif abs(facts.loudness - LOUDNESS) > LOUDNESS_TOLERANCE:
        yield f"its loudness is {facts.loudness:.1f} LUFS, and {LOUDNESS:g} are usual"
    if facts.true_peak is not None and facts.true_peak > HIGHEST_PEAK:
        yield f"its true peak is {facts.true_peak:.1f} dBTP: more than {HIGHEST_PEAK:g} may be distorted"
