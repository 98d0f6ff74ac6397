"""Clips as unlike as models and people deliver them, made by a real muxer, each with the length that it is shown."""

import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

LAYOUTS = {"mono": 1, "stereo": 2, "5.1": 6}


@dataclass(frozen=True)
class Clip:
    """A kind of clip. `times` are those of its pictures in seconds, if they are not steady."""

    name: str
    rate: Fraction = Fraction(30)
    pictures: int = 30
    size: tuple[int, int] = (160, 90)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast"})
    times: tuple[float, ...] = ()
    first: float = 0.0
    sound: str = "stereo"
    sample_rate: int = 48000
    sound_seconds: float | None = None
    change: Callable[[VideoStream], object] = lambda _: None
    luma: int | None = None

    @property
    def seconds(self) -> float:
        """The length of the picture."""
        if self.times:
            return self.times[-1] + 1 / float(self.rate)
        return self.first + self.pictures / float(self.rate)

    @property
    def frames(self) -> int:
        """The frames that a cut shows of it."""
        return max(1, round(self.seconds * 30))

    def write(self, folder: Path) -> Path:
        """Write the clip as an MP4 file."""
        path = folder / f"{self.name}.mp4"
        with av.open(str(path), "w", format="mp4") as output:
            video = cast(VideoStream, output.add_stream(self.codec, rate=self.rate, options=self.options))
            video.width, video.height, video.pix_fmt = *self.size, self.pix_fmt
            # Fine enough for uneven times.
            video.time_base = video.codec_context.time_base = (
                Fraction(1, 9000) if self.times or self.first else 1 / self.rate
            )
            self.change(video)
            sound = None
            if self.sound:
                sound = output.add_stream("aac", rate=self.sample_rate, layout=self.sound)
            for number, time in enumerate(self._times()):
                frame = picture(self.size, number, luma=self.luma).reformat(format=self.pix_fmt)
                frame.pts, frame.time_base = round(time / video.codec_context.time_base), video.codec_context.time_base
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
            if sound is not None:
                for noise in tone(self.sound_seconds or self.seconds, self.sample_rate, self.sound):
                    output.mux(sound.encode(noise))
                output.mux(sound.encode(None))
        return path

    def _times(self) -> Iterator[float | Fraction]:
        yield from self.times or (self.first + number / self.rate for number in range(self.pictures))


def picture(size: tuple[int, int], number: int, luma: int | None = None) -> VideoFrame:
    """Return a bright ramp that moves, or a plain one, with a coloured upper left quarter that shows a rotation."""
    frame = VideoFrame(*size, "yuv420p")
    width, height = size
    plane = frame.planes[0]
    ramp = bytes(80 + (3 * column + 7 * number) % 120 for column in range(width))
    row = ramp if luma is None else bytes([luma]) * width
    plane.update(row.ljust(plane.line_size, b"\0") * plane.height)
    for index, quarter in ((1, 90), (2, 200)):
        plane = frame.planes[index]
        upper = bytes([quarter if luma is None else 128]) * (width // 4)
        rows = upper.ljust(plane.line_size, b"\x80") * (height // 4) + b"\x80" * plane.line_size * plane.height
        plane.update(rows[: plane.buffer_size])
    return frame


def tone(
    seconds: float, rate: int, layout: str, *, amplitude: float = 0.2, pitch: float = 300.0
) -> Iterator[AudioFrame]:
    """Yield a sine on all loudspeakers."""
    total, channels = round(seconds * rate), LAYOUTS[layout]
    samples = array("f", (amplitude * math.sin(2 * math.pi * pitch * number / rate) for number in range(total)))
    for start in range(0, total, 1024):
        block = samples[start : start + 1024]
        frame = AudioFrame(format="fltp", layout=layout, samples=len(block))
        for plane in frame.planes:
            plane.update(block.tobytes().ljust(plane.buffer_size, b"\0"))
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame
    assert channels == len(frame.planes)


def _oblong(stream: VideoStream) -> None:
    stream.codec_context.sample_aspect_ratio = Fraction(4, 3)


def hdr(transfer: int) -> Callable[[VideoStream], object]:
    """Return what marks a stream as HDR, by the transfer's number in ITU-T H.273."""

    def change(stream: VideoStream) -> None:
        stream.codec_context.color_trc = transfer

    return change


UNEVEN = (0.0, 0.04, 0.05, 0.2, 0.21, 0.22, 0.6, 0.9)
CLIPS = [
    Clip("24-fps", Fraction(24), 24),
    Clip("25-fps", Fraction(25), 30),
    Clip("29.97-fps", Fraction(30000, 1001), 31),
    Clip("60-fps", Fraction(60), 45),
    Clip("variable-rate", times=UNEVEN),
    Clip("1284x716", size=(1284, 716), pictures=6),
    Clip("oblong-pixels", size=(120, 90), change=_oblong),
    Clip("no-sound", sound=""),
    Clip("mono-44100", sound="mono", sample_rate=44100),
    Clip("short-sound", sound_seconds=0.4),
    Clip(
        "10-bit-hevc",
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    ),
    Clip("rotated", size=(90, 160), change=lambda stream: stream.set_display_rotation(90)),
    Clip("one-frame", pictures=1),
]
"""30 fps, the twelfth unlike input, is what the other clips here have."""
MORE = [
    Clip("long-sound", sound_seconds=1.6),
    Clip("late-picture", first=0.5),
    Clip("surround", sound="5.1", sample_rate=44100),
    Clip("half-a-frame", Fraction(60), 1),
    Clip("4:2:2", pix_fmt="yuv422p"),
    Clip("full-range", pix_fmt="yuvj420p"),
    Clip("upright", size=(90, 160)),
    Clip("upside-down", change=lambda stream: stream.set_display_rotation(180)),
    Clip("rotated-right", size=(90, 160), change=lambda stream: stream.set_display_rotation(-90)),
    Clip("lossless-rgb", codec="libx264rgb", pix_fmt="rgb24"),
]
