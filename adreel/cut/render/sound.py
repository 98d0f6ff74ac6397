"""The sound of a cut: clips, voice and music, mixed, brought to a loudness, limited, encoded and measured again."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.filter import Graph
from av.filter.context import FilterContext

from adreel.cut.plan import SAMPLE_RATE
from adreel.cut.render.samples import (
    BLOCK,
    QUIETEST,
    SAMPLE_BYTES,
    Loudness,
    active_stretches,
    chain,
    combined,
    filtered,
    measure,
    pull_sound,
    pulled,
    sound_frame,
)
from adreel.cut.render.sources import open_media

BIT_RATE = 192_000
CEILING = -1.5
"""dBTP of the limiter. The encoder adds peaks of its own."""
HIGHEST_PEAK = -1.0
INAUDIBLE = 1e-5
TOLERANCE = 0.1
TRIES = 6
MOST_LIMITING = 6.0
"""Decibels of gain for what the limiter takes away. More would distort."""
CLIPS_BELOW_VOICE = 6.0
"""Decibels of the clips' own sound below a voice that speaks over it."""
LIFT = 6.0
"""Most decibels by which music rises where nobody speaks."""
HIGHEST_GAIN = 20.0
ATTACK, RELEASE = round(0.15 * SAMPLE_RATE), round(0.4 * SAMPLE_RATE)
FADE_IN, FADE_OUT = 0.05, 1.5


@dataclass(frozen=True)
class Encoded:
    """The finished sound as a file, its measures, and what a person should know."""

    loudness: Loudness
    warnings: tuple[str, ...] = ()


def mix(clips: bytes, voice: bytes | None, music: bytes | None, below_voice: float) -> bytes:
    """Return the clips' sound with a voice over it and music below, in the length of the clips."""
    length = len(clips)
    spoken = clips
    layers = [clips]
    if voice is not None:
        spoken = voice[:length].ljust(length, b"\0")
        if len(voice) > length:
            # A voice that is cut off would click.
            seconds = length / SAMPLE_BYTES / SAMPLE_RATE
            fade = min(0.2, seconds / 4)
            spoken = filtered(spoken, ("afade", f"type=out:start_time={seconds - fade:.6f}:duration={fade:.6f}"))
        layers = [ducked(clips, spoken, CLIPS_BELOW_VOICE, lift=CLIPS_BELOW_VOICE, may_raise=False), spoken]
    if music is not None:
        bed = looped(music, length)
        layers.append(ducked(bed, spoken, below_voice, lift=min(LIFT, below_voice / 2)))
    if len(layers) == 1:
        return clips
    return added(layers)


def added(layers: Sequence[bytes]) -> bytes:
    """Return the sum of sounds of equal length."""

    def describe(graph: Graph, sources: list[FilterContext]) -> FilterContext:
        total = graph.add("amix", f"inputs={len(layers)}:normalize=0")
        for number, source in enumerate(sources):
            source.link_to(total, 0, number)
        return total

    return combined(layers, describe)[: len(layers[0])].ljust(len(layers[0]), b"\0")


def looped(music: bytes, length: int) -> bytes:
    """Return music repeated or trimmed to a length, and faded out at its end."""
    repeated = (music * (-(-length // len(music))))[:length]
    seconds = length / SAMPLE_BYTES / SAMPLE_RATE
    fade = min(FADE_OUT, seconds / 4)
    return filtered(
        repeated,
        ("afade", f"type=in:duration={min(FADE_IN, fade):.3f}"),
        ("afade", f"type=out:start_time={seconds - fade:.6f}:duration={fade:.6f}"),
    )


def ducked(bed: bytes, voice: bytes, below: float, *, lift: float, may_raise: bool = True) -> bytes:
    """Return a bed that is `below` decibels below a voice while it speaks, and up to `lift` louder in its pauses.

    The gain is computed from both loudnesses. A compressor would depend on how loud the files happen to be.
    """
    stretches = active_stretches(voice)
    under_voice = measure(b"".join(_part(bed, start, end) for start, end in stretches)) if stretches else None
    if under_voice is None or under_voice.is_silent:
        return bed
    speech = measure(b"".join(_part(voice, start, end) for start, end in stretches))
    # Which pauses count depends on the measure. The lower loudness holds for both.
    gain = min(speech.integrated, measure(voice).integrated) - below - under_voice.integrated
    gain = min(gain, HIGHEST_GAIN if may_raise else 0.0)
    loud = gain + lift if may_raise else min(0.0, gain + lift)
    envelope = _envelope(stretches, len(bed) // SAMPLE_BYTES, 10 ** (gain / 20), 10 ** (loud / 20))

    def describe(graph: Graph, sources: list[FilterContext]) -> FilterContext:
        product = graph.add("amultiply")
        for number, source in enumerate(sources):
            source.link_to(product, 0, number)
        return product

    return combined([bed, envelope], describe)[: len(bed)].ljust(len(bed), b"\0")


def _part(samples: bytes, start: int, end: int) -> bytes:
    return samples[start * SAMPLE_BYTES : end * SAMPLE_BYTES]


def _envelope(stretches: Sequence[tuple[int, int]], total: int, low: float, high: float) -> bytes:
    """Return gains as samples: `low` in the stretches, `high` in long pauses, and ramps in between."""
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        # In a short pause the bed would pump.
        if joined and start - joined[-1][1] < ATTACK + RELEASE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((0 if start < ATTACK else start, end))
    gains = array("f")
    for start, end in joined:
        fall = min(ATTACK, start)
        gains.extend(array("f", [high, high]) * (start - fall - len(gains) // 2))
        gains.extend(high + (low - high) * step / fall for step in range(fall) for _ in (0, 1))
        gains.extend(array("f", [low, low]) * (end - start))
        gains.extend(low + (high - low) * step / RELEASE for step in range(RELEASE) for _ in (0, 1))
    gains.extend(array("f", [high, high]) * max(0, total - len(gains) // 2))
    return gains.tobytes()[: total * SAMPLE_BYTES]


def encode(samples: bytes, target: float, out: Path) -> Encoded:
    """Write AAC of a loudness: one linear gain, a limiter, and both again until the decoded file is right."""
    found = measure(samples)
    if found.is_silent:
        encode_aac(samples, out)
        note = f"the sound is almost silent, below {QUIETEST:g} LUFS, and was left as it is"
        return Encoded(
            measure(decode(out)), (note if max(array("f", samples)) > INAUDIBLE else "there is no sound in it",)
        )
    gain, ceiling = target - found.integrated, CEILING
    most = gain + MOST_LIMITING
    for _ in range(TRIES):
        encode_aac(limited(samples, gain, ceiling), out)
        made = measure(decode(out))
        off, over = target - made.integrated, made.peak - HIGHEST_PEAK
        if over <= 0 and (abs(off) <= TOLERANCE or gain == most < gain + off):
            break
        gain = min(most, gain + off)
        ceiling -= max(0.0, over + 0.05) if over > 0 else 0.0
    while made.peak > HIGHEST_PEAK:
        # The encoder adds more than a limiter can foresee. The level always helps.
        over = made.peak - HIGHEST_PEAK + TOLERANCE
        gain, ceiling = gain - over, ceiling - over
        encode_aac(limited(samples, gain, ceiling), out)
        made = measure(decode(out))
    missed = abs(target - made.integrated) > 0.5
    note = f"the sound has peaks that allow {made.integrated:.1f} LUFS only, instead of {target:g}"
    return Encoded(made, (note,) if missed else ())


def limited(samples: bytes, gain: float, ceiling: float) -> bytes:
    """Return samples louder by a gain, with their peaks below a ceiling."""
    # At four times the rate the limiter sees the peaks between samples.
    return filtered(
        samples,
        ("volume", f"{gain}dB:precision=float"),
        ("aresample", str(4 * SAMPLE_RATE)),
        ("alimiter", f"limit={10 ** (ceiling / 20)}:level=0:attack=5:release=50:latency=1"),
        ("aresample", str(SAMPLE_RATE)),
    )


def encode_aac(samples: bytes, out: Path) -> None:
    """Encode samples as AAC in an MP4 file."""
    with av.open(str(out), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        stream.bit_rate = BIT_RATE
        graph = Graph()
        source = graph.add_abuffer(sample_rate=SAMPLE_RATE, format="flt", layout="stereo")
        chain(graph, source, [("aformat", "sample_fmts=fltp"), ("abuffersink", "")])
        graph.configure()
        graph.set_audio_frame_size(1024)
        for start in range(0, len(samples) // SAMPLE_BYTES, BLOCK):
            source.push(sound_frame(samples[start * SAMPLE_BYTES : (start + BLOCK) * SAMPLE_BYTES], start))
            _encode_ready(graph, stream, container)
        source.push(None)
        _encode_ready(graph, stream, container)
        container.mux(stream.encode(None))


def _encode_ready(graph: Graph, stream: AudioStream, container: av.container.OutputContainer) -> None:
    for frame in pulled(graph):
        container.mux(stream.encode(frame))


def decode(path: Path) -> bytes:
    """Return the samples of an encoded file."""
    with open_media(path) as source:
        graph = Graph()
        first = graph.add_abuffer(template=source.streams.audio[0])
        chain(graph, first, [("aformat", "sample_fmts=flt"), ("abuffersink", "")])
        graph.configure()
        parts = [pull_sound(graph, frame) for frame in source.decode(source.streams.audio[0])]
        return b"".join([*parts, pull_sound(graph, None)])
