"""Films: a clip's frames and tone as an MP4 file that plays while it loads."""

import threading
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from adreel.emulator import tone
from adreel.emulator.card import Card
from adreel.emulator.clip import Clip
from adreel.emulator.picture import FORMAT

# One thread each: the renderer renders two at once, and the bytes must not depend on the number of cores.
CODEC_OPTIONS = {"preset": "superfast", "crf": "19", "threads": "1", "tune": "animation"}


def render(clip: Clip, path: Path, *, stopping: threading.Event | None = None) -> Path:
    """Write a clip to a file; a set `stopping` breaks it off with InterruptedError."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video, audio = _video(container, clip), _audio(container)
        for sound in tone.frames(clip.seed, clip.seconds, sound=clip.sound):
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
        card = Card(clip)
        for number in range(clip.frames):
            if stopping is not None and stopping.is_set():
                raise InterruptedError("the local Runware is stopping")
            frame = card.frame(number)
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def _video(container: OutputContainer, clip: Clip) -> VideoStream:
    stream = container.add_stream("libx264", rate=clip.rate, options=CODEC_OPTIONS)
    stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, FORMAT
    # Players take HD for BT.709 unless told otherwise.
    stream.codec_context.colorspace, stream.codec_context.color_range = Colorspace.ITU601, ColorRange.MPEG
    return stream


def _audio(container: OutputContainer) -> AudioStream:
    return container.add_stream("aac", rate=tone.RATE, layout="mono", bit_rate=64_000)
