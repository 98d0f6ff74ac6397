"""Sound as float stereo samples at 48 kHz in bytes: filters on them and measures of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import av
from av.audio.frame import AudioFrame
from av.filter import Graph
from av.filter.context import FilterContext

from adreel.cut.plan import SAMPLE_RATE

SAMPLE_BYTES = 8
"""Two floats."""
BLOCK = 4800
QUIETEST = -60.0
"""LUFS. Sound below it is noise: to raise it would make a silent ad hiss."""
SHORTEST_PAUSE = 0.3
SOURCE = f"sample_rate={SAMPLE_RATE}:sample_fmt=flt:channel_layout=stereo:time_base=1/{SAMPLE_RATE}"
STEREO = f"sample_fmts=flt:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"

Filter = tuple[str, str]
"""A filter's name and its arguments."""


@dataclass(frozen=True)
class Loudness:
    """Integrated loudness in LUFS and true peak in dBTP."""

    integrated: float
    peak: float

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to bring to a loudness."""
        return self.integrated < QUIETEST


def sound_frame(samples: bytes, start: int) -> AudioFrame:
    """Return samples as a frame that starts at a sample of the film."""
    frame = AudioFrame(format="flt", layout="stereo", samples=len(samples) // SAMPLE_BYTES)
    frame.planes[0].update(samples.ljust(frame.planes[0].buffer_size, b"\0"))
    frame.sample_rate, frame.pts = SAMPLE_RATE, start
    return frame


def samples_of(frame: AudioFrame) -> bytes:
    """Return the samples of a float stereo frame."""
    return bytes(frame.planes[0])[: frame.samples * SAMPLE_BYTES]


def pull_sound(graph: Graph, frame: AudioFrame | None) -> bytes:
    """Push a frame into a graph of one input, None at the end, and return the samples that come out."""
    graph.push(frame)
    return b"".join(map(samples_of, pulled(graph)))


def pulled(graph: Graph) -> Iterator[AudioFrame]:
    """Yield the sound that a graph has ready."""
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        if isinstance(frame, AudioFrame):
            yield frame


def chain(graph: Graph, first: FilterContext, filters: Sequence[Filter]) -> FilterContext:
    """Add filters behind another one and return the last."""
    for name, arguments in filters:
        made = graph.add(name, arguments)
        first.link_to(made)
        first = made
    return first


def filtered_frames(
    inputs: Sequence[bytes], describe: Callable[[Graph, list[FilterContext]], FilterContext]
) -> Iterator[AudioFrame]:
    """Yield what a graph makes of sounds. `describe` adds its filters behind the sources and returns the last."""
    graph = Graph()
    sources = [graph.add("abuffer", SOURCE) for _ in inputs]
    describe(graph, sources).link_to(graph.add("abuffersink"))
    graph.configure()
    for start in range(0, max(map(len, inputs)) // SAMPLE_BYTES, BLOCK):
        for source, samples in zip(sources, inputs, strict=True):
            if block := samples[start * SAMPLE_BYTES : (start + BLOCK) * SAMPLE_BYTES]:
                source.push(sound_frame(block, start))
        yield from pulled(graph)
    for source in sources:
        source.push(None)
    yield from pulled(graph)


def filtered(samples: bytes, *filters: Filter) -> bytes:
    """Return samples behind a chain of filters, in their old length."""
    made = combined([samples], lambda graph, sources: chain(graph, sources[0], filters))
    return made[: len(samples)].ljust(len(samples), b"\0")


def combined(inputs: Sequence[bytes], describe: Callable[[Graph, list[FilterContext]], FilterContext]) -> bytes:
    """Return what a graph makes of several sounds."""

    def as_floats(graph: Graph, sources: list[FilterContext]) -> FilterContext:
        return chain(graph, describe(graph, sources), [("aformat", STEREO)])

    return b"".join(map(samples_of, filtered_frames(inputs, as_floats)))


def measure(samples: bytes) -> Loudness:
    """Measure sound as EBU R 128 describes it."""
    last: dict[str, str] = {}
    measuring = [("ebur128", "metadata=1:peak=true")]
    for frame in filtered_frames([samples], lambda graph, sources: chain(graph, sources[0], measuring)):
        last = frame.metadata or last
    integrated, peak = float(last.get("lavfi.r128.I", "nan")), float(last.get("lavfi.r128.true_peak", 0))
    return Loudness(
        -math.inf if math.isnan(integrated) else integrated, 20 * math.log10(peak) if peak > 0 else -math.inf
    )


def active_stretches(samples: bytes) -> list[tuple[int, int]]:
    """Return the stretches between pauses, as samples; nothing if the sound is silent."""
    loudness = measure(samples)
    total = len(samples) // SAMPLE_BYTES
    if loudness.is_silent or not total:
        return []
    # The limit follows the loudness: the pauses of speech are quieter than its loudness at every sample.
    detection = [("silencedetect", f"noise={loudness.integrated - 6:.1f}dB:duration={SHORTEST_PAUSE}")]
    pauses: list[list[int]] = []
    for frame in filtered_frames([samples], lambda graph, sources: chain(graph, sources[0], detection)):
        found = frame.metadata
        if "lavfi.silence_start" in found:
            pauses.append([max(0, round(float(found["lavfi.silence_start"]) * SAMPLE_RATE)), total])
        if "lavfi.silence_end" in found and pauses:
            pauses[-1][1] = min(total, round(float(found["lavfi.silence_end"]) * SAMPLE_RATE))
    edges = [0, *(edge for pause in pauses for edge in pause), total]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]
