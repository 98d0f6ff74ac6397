"""Renders clips, sounds and stills, two at once beside the event loop, and keeps the files in a temporary folder.

Rendering begins when a task is accepted, so that the file is usually ready when the task ends. An earlier download
waits. With `one_film`, all tasks of the same kind, size and length share one encoding, so thousands can end at once.
"""

import asyncio
import math
import random
import tempfile
import threading
from array import array
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import av
from av import AudioFrame
from av.video.reformatter import ColorRange, Colorspace

from adreel.emulator.card import Card, still_card
from adreel.emulator.clips import Clip
from adreel.emulator.drawing import FORMAT
from adreel.emulator.images import InputImages
from adreel.emulator.outputs import Output
from adreel.emulator.sounds import Sound
from adreel.emulator.stills import Still
from adreel.emulator.synthesis import blocks, synthesize

AT_ONCE = 2
LONGEST_RENDER_SECONDS = 120.0
SOUND_CODECS: dict[str, tuple[str, Literal["libmp3lame", "pcm_s16le", "flac", "libopus"], dict[str, str]]] = {
    "MP3": ("mp3", "libmp3lame", {}),
    "WAV": ("wav", "pcm_s16le", {}),
    "FLAC": ("flac", "flac", {"compression_level": "2"}),
    "OGG": ("ogg", "libopus", {}),
}
"""Container, codec and its options of each format."""
SOUND_BLOCK = 4096
STILL_FORMATS = {"JPG": "JPEG", "PNG": "PNG", "WEBP": "WEBP"}

# One thread for each encoder: two render at once, and the bytes must not depend on the number of cores.
CODEC_OPTIONS = {"preset": "superfast", "crf": "19", "threads": "1", "tune": "animation"}

SAMPLE_RATE = 44100
SAMPLES_PER_FRAME = 1024
LOUDNESS = 0.05
FADE_SECONDS = 0.15
LOWEST, HIGHEST = 110, 220
CHORDS = ((1.0, 5 / 4, 3 / 2, 2.0), (1.0, 6 / 5, 3 / 2, 2.0), (1.0, 4 / 3, 3 / 2, 9 / 4), (1.0, 5 / 4, 3 / 2, 15 / 8))


class Renderer:
    """Renders each output once."""

    def __init__(self, images: InputImages, *, one_film: bool = False) -> None:
        self._images, self._one_film = images, one_film
        self._folder = tempfile.TemporaryDirectory(prefix="adreel-local-runware-")
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="local-runware-render")
        self._stopping = threading.Event()
        self._files: dict[Output, Future[Path]] = {}

    def begin(self, output: Output) -> Future[Path]:
        """Start to render an output, unless it was started before."""
        if self._one_film:
            output = _usual(output)
        if output not in self._files:
            path = Path(self._folder.name) / f"{len(self._files)}{output.suffix}"
            self._files[output] = self._pool.submit(render, output, path, self._images, stopping=self._stopping)
        return self._files[output]

    async def rendered(self, output: Output) -> bytes:
        """Return the bytes of an output's file, or raise TimeoutError."""
        path = await asyncio.wait_for(asyncio.wrap_future(self.begin(output)), LONGEST_RENDER_SECONDS)
        return await asyncio.to_thread(path.read_bytes)

    def close(self) -> None:
        """Stop rendering and remove the files."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        self._folder.cleanup()


def _usual(output: Output) -> Output:
    """Return the output that all of the same kind, size and length share."""
    if isinstance(output, Sound):
        return replace(output, text="Any words", seed=0, singer="")
    if isinstance(output, Still):
        return replace(output, prompt="Any scene", seed=0, references=())
    return replace(output, prompt="Any scene", seed=0, first=None, last=None, references=())


def render(output: Output, path: Path, images: InputImages, *, stopping: threading.Event | None = None) -> Path:
    """Write the file of an output. Raises InterruptedError once `stopping` is set."""
    if isinstance(output, Sound):
        return render_sound(output, path)
    if isinstance(output, Still):
        still_card(output, images).save(path, STILL_FORMATS[output.format], quality=90)
        return path
    return render_clip(output, path, images, stopping=stopping)


def render_sound(sound: Sound, path: Path) -> Path:
    """Write a sound in its format. A FLAC file has its total length in its header."""
    recording = synthesize(sound)
    layout = "stereo" if recording.channels > 1 else "mono"
    container_format, codec, options = SOUND_CODECS[sound.format]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=recording.rate, layout=layout, options=options)
        for start, samples in blocks(recording, SOUND_BLOCK):
            count = len(samples) // (2 * recording.channels)
            frame = AudioFrame(format="s16", layout=layout, samples=count)
            frame.sample_rate, frame.pts = recording.rate, start
            # A plane can be longer than its samples.
            frame.planes[0].update(samples.ljust(frame.planes[0].buffer_size, b"\0"))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def render_clip(clip: Clip, path: Path, images: InputImages, *, stopping: threading.Event | None = None) -> Path:
    """Write a clip to an MP4 file with its index in front. Raises InterruptedError once `stopping` is set."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=clip.rate, options=CODEC_OPTIONS)
        video.width, video.height, video.pix_fmt = clip.width, clip.height, FORMAT
        # Players assume BT.709 for HD unless the stream names another colour space.
        video.codec_context.colorspace, video.codec_context.color_range = Colorspace.ITU601, ColorRange.MPEG
        if clip.sound:
            audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", bit_rate=64_000)
            for sound in _audio_frames(clip):
                container.mux(audio.encode(sound))
            container.mux(audio.encode(None))
        card = Card(clip, images)
        for number in range(clip.frames):
            if stopping is not None and stopping.is_set():
                raise InterruptedError("the emulator is stopping")
            frame = card.frame(number)
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def _audio_frames(clip: Clip) -> Iterator[AudioFrame]:
    """Yield the frames of a mono track that is no longer than the clip: a soft chord of the seed."""
    blocks = max(1, int(clip.seconds * SAMPLE_RATE) // SAMPLES_PER_FRAME)
    length = blocks * SAMPLES_PER_FRAME
    samples = _chord(clip.seed, length)
    for start in range(0, length, SAMPLES_PER_FRAME):
        frame = AudioFrame(format="fltp", layout="mono", samples=SAMPLES_PER_FRAME)
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        frame.planes[0].update(samples[start : start + SAMPLES_PER_FRAME].tobytes())
        yield frame


def _chord(seed: int, length: int) -> "array[float]":
    dice = random.Random(seed)  # noqa: S311  (music, not secrets)
    root = dice.randint(LOWEST, HIGHEST)
    # Whole Hertz: one second of the chord can be repeated without a click, and only that second is computed.
    notes = [round(root * step) for step in dice.choice(CHORDS)]
    turns = [2 * math.pi * note / SAMPLE_RATE for note in notes]
    loop = array("f", (LOUDNESS * sum(math.sin(turn * n) for turn in turns) for n in range(min(SAMPLE_RATE, length))))
    samples = (loop * (length // len(loop) + 1))[:length]
    fade = min(int(FADE_SECONDS * SAMPLE_RATE), length // 2)
    for step in range(fade):
        samples[step] *= step / fade
        samples[-1 - step] *= step / fade
    return samples
