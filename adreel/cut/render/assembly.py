"""Segments become one file: joined as packets, or crossfaded, with a finished sound."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, cast

import av
from av.filter import Graph
from av.filter.context import FilterContext
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from adreel.cut.plan import RATE, SAMPLES_PER_FRAME, AssemblyPlan, Measures
from adreel.cut.render import sound
from adreel.cut.render.card import card_picture
from adreel.cut.render.checks import check_file
from adreel.cut.render.marks import add_mark
from adreel.cut.render.narration import narration
from adreel.cut.render.samples import SAMPLE_BYTES, combined
from adreel.cut.render.segments import FORMAT, TICK, segment_frames, segment_samples, write_segment
from adreel.cut.render.sources import file_samples, open_media
from adreel.errors import CutFailed

_Timed: TypeAlias = "tuple[Fraction, int, Packet[Any]]"
FRAME_BYTES = SAMPLES_PER_FRAME * SAMPLE_BYTES


def assemble(plan: AssemblyPlan, out: Path, poster: Path, report: Callable[[float], None] = lambda _: None) -> Measures:
    """Make one finished file and its poster, and check both by decoding; CutFailed if the file is not as planned."""
    with TemporaryDirectory(prefix="assembly-", dir=out.parent) as folder:
        segments = list(map(Path, plan.segments))
        if plan.card is not None:
            segments.append(Path(folder) / "card.mkv")
            card = card_picture(plan.card, plan.width, plan.height)
            silence = bytes(plan.card.frames * FRAME_BYTES)
            write_segment(iter([card] * plan.card.frames), silence, plan.width, plan.height, segments[-1])
        parts = [segment_samples(segment) for segment in segments]
        lengths = [len(part) // FRAME_BYTES for part in parts]
        overlap = plan.fade_frames if len(segments) > 1 else 0
        check_fades(lengths, overlap)
        clips = crossfaded_sound(parts, overlap) if overlap else b"".join(parts)
        report(0.05)
        longest = len(clips) // SAMPLE_BYTES
        voice = file_samples(plan.voice, longest + 1) if plan.voice else None
        if plan.voices:
            voice = narration(plan.voices, longest)
        music = file_samples(plan.music, longest) if plan.music else None
        mixed = sound.mix(clips, voice, music, plan.music_below_voice)
        track = Path(folder) / "sound.m4a"
        encoded = sound.encode(mixed, plan.loudness, track)
        report(0.3)
        films = segments
        if overlap:
            films = [Path(folder) / "film.mkv"]
            frames = crossfaded_frames(segments, lengths, overlap)
            write_segment(frames, bytes(len(clips)), plan.width, plan.height, films[0])
        report(0.7)
        join(films, track, out, plan.title)
        add_mark(out, composite=plan.is_composite, title=plan.title)
        measures = check_file(
            out, poster, plan, segments=segments, lengths=lengths, overlap=overlap, expected=encoded.loudness
        )
        report(1.0)
        return replace(measures, warnings=encoded.warnings)


def check_fades(lengths: Sequence[int], overlap: int) -> None:
    """Raise CutFailed if an overlap is longer than half of a neighbour."""
    for number, (first, second) in enumerate(pairwise(lengths), 1):
        if 2 * overlap > min(first, second):
            raise CutFailed(
                f"the fade of {overlap} frames between segments {number} and {number + 1} is longer than half of the "
                f"shorter one, which has {min(first, second)}"
            )


@dataclass(frozen=True)
class _Film:
    """A segment's place in the finished file."""

    path: Path
    start: int
    frames: int


def join(segments: Sequence[Path], track: Path, out: Path, title: str = "") -> None:
    """Write the packets of segments and of a finished sound to one MP4 file, with its index first."""
    films: list[_Film] = []
    delay = start = 0
    header: bytes | None = None
    for segment in segments:
        with open_media(segment) as source:
            stream = source.streams.video[0]
            extradata = stream.codec_context.extradata
            if header is not None and extradata != header:
                raise CutFailed(f"segment {len(films) + 1} was encoded with other settings than the first")
            header = extradata
            times = [_frame_number(packet) for packet in source.demux(stream) if packet.size]
        # Pictures are stored in the order of decoding. The delay keeps each decoded before it is shown.
        delay = max(delay, *(order - time for order, time in enumerate(times)))
        films.append(_Film(segment, start, len(times)))
        start += len(times)
    with (
        open_media(segments[0]) as first,
        open_media(track) as sounds,
        av.open(str(out), "w", format="mp4", options={"movflags": "+faststart"}) as target,
    ):
        target.metadata["title"] = title
        video = target.add_stream_from_template(first.streams.video[0])
        video.time_base = TICK
        audio = target.add_stream_from_template(sounds.streams.audio[0])

        def pictures() -> "Iterator[_Timed]":
            for film in films:
                with open_media(film.path) as source:
                    packets = (each for each in source.demux(source.streams.video[0]) if each.size)
                    for order, packet in enumerate(packets, film.start):
                        pts = film.start + _frame_number(packet)
                        packet.time_base = TICK
                        packet.pts, packet.dts, packet.duration = pts, order - delay, 1
                        packet.stream = video
                        yield packet.dts * TICK, 0, packet

        def samples() -> "Iterator[_Timed]":
            for packet in sounds.demux(sounds.streams.audio[0]):
                if packet.size:
                    packet.stream = audio
                    yield cast(int, packet.dts) * packet.time_base, 1, packet

        for _, _, packet in heapq.merge(pictures(), samples(), key=itemgetter(0, 1)):
            target.mux(packet)


def _frame_number(packet: "Packet[Any]") -> int:
    return round(cast(int, packet.pts) * packet.time_base * RATE)


def crossfaded_sound(parts: Sequence[bytes], overlap: int) -> bytes:
    """Return sounds in a row whose neighbours overlap by a number of frames."""
    made, length = parts[0], overlap * FRAME_BYTES
    fade = f"nb_samples={overlap * SAMPLES_PER_FRAME}:curve1=qsin:curve2=qsin"
    for part in parts[1:]:

        def describe(graph: Graph, sources: list[FilterContext]) -> FilterContext:
            both = graph.add("acrossfade", fade)
            for number, source in enumerate(sources):
                source.link_to(both, 0, number)
            return both

        both = combined([made[-length:], part[:length]], describe)
        made = made[:-length] + both[:length].ljust(length, b"\0") + part[length:]
    return made


def crossfaded_frames(segments: Sequence[Path], lengths: Sequence[int], overlap: int) -> Iterator[VideoFrame]:
    """Yield the pictures of segments in a row whose neighbours overlap by a number of frames."""
    current = segment_frames(segments[0])
    skipped = 0
    for length, following in zip(lengths, [*segments[1:], None], strict=True):
        for _ in range(length - skipped - (overlap if following else 0)):
            yield next(current)
        if following is not None:
            second = segment_frames(following)
            yield from _mixed(current, second, overlap)
            current, skipped = second, overlap


def _mixed(first: Iterator[VideoFrame], second: Iterator[VideoFrame], count: int) -> Iterator[VideoFrame]:
    graph = Graph()
    pair = list(map(next, (first, second)))
    sources = [
        graph.add_buffer(width=frame.width, height=frame.height, format=VideoFormat(FORMAT), time_base=TICK)
        for frame in pair
    ]
    fade = graph.add("xfade", f"transition=fade:duration={count / RATE:.6f}:offset=0")
    for number, source in enumerate(sources):
        rate = graph.add("fps", str(RATE))
        source.link_to(rate)
        rate.link_to(fade, 0, number)
    fade.link_to(graph.add("buffersink"))
    graph.configure()
    made = 0
    # The filter holds a picture back, so the last pair goes in twice.
    for number in range(count + 2):
        if 0 < number < count:
            pair = list(map(next, (first, second)))
        for source, frame in zip(sources, pair, strict=True):
            frame.pts, frame.time_base = number, TICK
            source.push(frame)
        while made < count:
            try:
                frame = cast(VideoFrame, graph.pull())
            except (av.BlockingIOError, av.EOFError):
                break
            made += 1
            yield frame
    if made < count:
        raise CutFailed(f"a fade has {made} frames instead of {count}")
