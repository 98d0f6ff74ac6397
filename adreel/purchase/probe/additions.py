"""Measures of a narration, of music and of a still. Runs only in the probe process.

Both kinds are decoded as a whole: they are short, and only that shows whether they are complete.
"""

import math
from contextlib import suppress
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.filter import Graph
from PIL import Image

from adreel.purchase.probe.decoding import MAX_PIXELS, OF_THE_FILE
from adreel.purchase.probe.findings import Findings, Measures

MAX_SECONDS = 900
FLAC, JPEG = b"fLaC", b"\xff\xd8\xff"
"""First bytes of the formats."""
QUIETEST = -70.0
"""LUFS of silence: the absolute gate of EBU R 128."""


def inspect_sound(path: Path) -> Findings:
    """Measure a FLAC file; OSError if the file can't be read."""
    try:
        with av.open(str(path), format="flac") as container:
            stream = container.streams.audio[0]
            declared = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
            meter, samples, reason = _Meter(stream), 0, ""
            try:
                for frame in container.decode(stream):
                    samples += frame.samples
                    if samples > MAX_SECONDS * stream.rate:
                        return Findings(reason=f"it is longer than {MAX_SECONDS} s")
                    meter.hear(frame)
            except FFmpegError as error:
                reason = f"it can't be decoded from {samples / stream.rate:.2f} s on: {error.strerror}"
            if not samples:
                return _undecoded(path, FLAC, reason or "it has no sound in it")
            duration, loudness = samples / stream.rate, meter.loudness()
    except (FFmpegError, MemoryError, ValueError, ArithmeticError, IndexError) as error:
        return _undecoded(path, FLAC, _reason(error))
    # The header counts samples, and a lost last frame may be shorter than a tenth of a second.
    if not reason and declared is not None and round((declared - duration) * stream.rate) > 0:
        reason = f"its header says {declared:.3f} s, and it ends after {duration:.3f} s"
    return Findings(Measures(duration, 0, 0, loudness), truncation=reason, tells_length=declared is not None)


def inspect_still(path: Path) -> Findings:
    """Measure a JPEG file; OSError if the file can't be read."""
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                return Findings(reason=f"it has {image.width}x{image.height} pixels, more than adreel decodes")
            measures = Measures(0, *image.size)
            try:
                image.load()
            except OSError as error:
                # Pillow raises it for the end of the data, without a number of the system.
                if error.errno in OF_THE_FILE:
                    raise
                return Findings(measures, truncation=str(error))
            return Findings(measures)
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        return _undecoded(path, JPEG, _reason(error))


def _undecoded(path: Path, magic: bytes, reason: str) -> Findings:
    """Return why nothing of a file can be decoded. One that begins as its format does may end in its header."""
    with path.open("rb") as stream:
        is_begun = stream.read(len(magic)) == magic
    return Findings(reason=reason, truncation="it may break off in its header" if is_begun else "")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in OF_THE_FILE:
        raise error
    # The text of FFmpeg's own errors names the temporary file.
    text = (error.strerror if isinstance(error, FFmpegError) else "") or type(error).__name__
    return f"it can't be decoded: {text}"


class _Meter:
    """Measures the loudness of sound as EBU R 128 describes it."""

    def __init__(self, stream: AudioStream) -> None:
        self._last: dict[str, str] = {}
        self._graph = Graph()
        source, meter = self._graph.add_abuffer(template=stream), self._graph.add("ebur128", "metadata=1")
        source.link_to(meter)
        meter.link_to(self._graph.add("abuffersink"))
        self._graph.configure()

    def hear(self, frame: AudioFrame | None) -> None:
        """Measure a frame; None at the end."""
        self._graph.push(frame)
        with suppress(av.BlockingIOError, av.EOFError):
            while True:
                self._last = self._graph.pull().metadata or self._last

    def loudness(self) -> float | None:
        """Return the integrated loudness in LUFS; None for silence."""
        self.hear(None)
        found = float(self._last.get("lavfi.r128.I", "nan"))
        return None if math.isnan(found) or found <= QUIETEST else round(found, 1)
