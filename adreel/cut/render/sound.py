"""The sound of a cut: clips, voice and music as float samples, mixed, brought to a loudness and limited."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
from av.audio.frame import AudioFrame
from av.filter import Graph

SAMPLE_RATE = 48000
BLOCK = 4800
BYTES = 8  # stereo float
QUIETEST = -60.0
LAYOUT = "sample_fmts=flt:sample_rates=48000:channel_layouts=stereo"
SOURCE = "sample_rate=48000:sample_fmt=flt:channel_layout=stereo:time_base=1/48000"


@dataclass(frozen=True)
class Loudness:
    """Integrated loudness in LUFS, true peak in dBTP."""

    integrated: float
    peak: float


def filtered(inputs: list[bytes], describe: Callable[[Graph, list], object]) -> Iterator[AudioFrame]:
    """Yield what a filter graph makes of sounds of float stereo samples."""
    graph = Graph()
    sources = [graph.add("abuffer", SOURCE) for _ in inputs]
    sink = graph.add("abuffersink")
    describe(graph, sources).link_to(sink)
    graph.configure()
    total = max(len(each) for each in inputs) // BYTES
    for start in range(0, total + BLOCK, BLOCK):
        for source, samples in zip(sources, inputs, strict=True):
            block = samples[start * BYTES : (start + BLOCK) * BYTES]
            if block:
                frame = AudioFrame(format="flt", layout="stereo", samples=len(block) // BYTES)
                frame.planes[0].update(block.ljust(frame.planes[0].buffer_size, b"\0"))
                frame.sample_rate, frame.pts = SAMPLE_RATE, start
                source.push(frame)
            elif start * BYTES < len(samples) + BLOCK * BYTES:
                source.push(None)
        yield from _pull(graph)


def _pull(graph):
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def samples_of(frames: Iterator[AudioFrame]) -> bytes:
    return b"".join(bytes(frame.planes[0])[: frame.samples * BYTES] for frame in frames)


def chain(graph, first, *filters):
    for name, arguments in filters:
        made = graph.add(name, arguments)
        first.link_to(made)
        first = made
    return first


def measure(samples: bytes) -> Loudness:
    last = {}
    for frame in filtered([samples], lambda graph, sources: chain(graph, sources[0], ("ebur128", "metadata=1:peak=true"))):
        last = frame.metadata or last
    peak = float(last["lavfi.r128.true_peak"])
    return Loudness(float(last["lavfi.r128.I"]), 20 * math.log10(peak) if peak else -math.inf)


def normalised(samples: bytes, *, target: float = -14.0, ceiling: float = -1.5) -> bytes:
    """Return samples at a loudness: one linear gain, then a limiter that sees the peaks between samples."""
    found = measure(samples)
    if found.integrated < QUIETEST:
        return samples
    gain = target - found.integrated
    for _ in range(3):
        limit = 10 ** (ceiling / 20)
        made = samples_of(
            filtered(
                [samples],
                lambda graph, sources: chain(
                    graph,
                    sources[0],
                    ("volume", f"{gain}dB:precision=float"),
                    ("aresample", "192000"),
                    ("alimiter", f"limit={limit}:level=0:attack=5:release=50:latency=1"),
                    ("aresample", "48000"),
                    ("aformat", LAYOUT),
                ),
            )
        )
        off = target - measure(made).integrated
        if abs(off) < 0.1:
            break
        gain += off
    return made[: len(samples)].ljust(len(samples), b"\0")
