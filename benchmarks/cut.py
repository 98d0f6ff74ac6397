"""Measures cuts of 4 clips of 5 s at 720p: a first one, one changed scene, fades, and the same film by other tools.

Usage: python -m benchmarks.cut [ROUNDS]

One FFmpeg command (of imageio-ffmpeg) and MoviePy, if it is installed, make the same film with the same captions. Each
way is a process of its own in every round. The best of the rounds is shown.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

from adreel.cut.plan import AssemblyPlan, Box, Caption, SegmentPlan
from adreel.cut.render.fonts import FILE
from adreel.cut.render.process import inspect, render

WIDTH, HEIGHT, SECONDS, CLIPS = 1280, 720, 5, 4
TEXTS = ("The night is long.", "Your light wakes everybody.", "A lamp that only you see.", "Read all night.")
RATES = (24, 25, 30, 60)
BOX = Box(64, 36, 1216, 648)
FADE = 15
LIMITS = {"first cut": "20 s, 450 MB", "one changed scene": "7 s"}


@dataclass(frozen=True)
class Figures:
    """What one way cost, and the film that it made."""

    cpu: float
    wall: float
    memory: float
    seconds: float
    loudness: float


def ffmpeg(*arguments: object) -> str:
    """Run FFmpeg's own program and return what it says."""
    command = [get_ffmpeg_exe(), "-hide_banner", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def make_clips(folder: Path) -> None:
    """Make clips of four rates, with a picture that moves and a sound."""
    for number in range(CLIPS + 1):
        rate = RATES[number % CLIPS]
        picture = f"testsrc2=size={WIDTH}x{HEIGHT}:rate={rate}:duration={SECONDS},hue=h={number * 60}"
        sound = f"sine=frequency={200 + 100 * number}:duration={SECONDS}:sample_rate=44100"
        codecs = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac")
        ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codecs, folder / f"clip-{number}.mp4")


async def cut(folder: Path, *, changed: bool = False, fade: int = 0) -> None:
    """Cut with adreel. Segments that are there already are used again."""
    numbers = [CLIPS if changed and number == 1 else number for number in range(CLIPS)]
    clips = [folder / f"clip-{number}.mp4" for number in numbers]
    segments, missing = [folder / f"segment-{number}.mkv" for number in numbers], {}
    for index, (clip, segment) in enumerate(zip(clips, segments, strict=True)):
        if not segment.exists():
            (facts,) = await inspect([clip])
            captions = (Caption(TEXTS[index], 0, facts.frames),)
            missing[segment] = SegmentPlan(
                str(clip), "", WIDTH, HEIGHT, "crop", facts.frames, captions=captions, safe_area=BOX
            )
    plan = AssemblyPlan(WIDTH, HEIGHT, tuple(map(str, segments)), fade, None, 12, None, -14)
    await render(missing, {folder / "out.mp4": plan})


def by_ffmpeg(folder: Path) -> None:
    """Cut with one command. Its loudness filter makes one pass."""
    chains = []
    for number, text in enumerate(TEXTS):
        # Not each build of FFmpeg has drawtext.
        words = folder / f"words-{number}.srt"
        words.write_text(f"1\n00:00:00,000 --> 00:00:{SECONDS:02},000\n{text}\n")
        caption = f"subtitles={words}:fontsdir={FILE.parent}:force_style='FontName=Noto Sans'"
        size = f"scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=increase,crop={WIDTH}:{HEIGHT},setsar=1"
        chains.append(f"[{number}:v]{size},fps=30,{caption}[v{number}];[{number}:a]aresample=48000[a{number}]")
    pairs = "".join(f"[v{number}][a{number}]" for number in range(CLIPS))
    joined = f"{pairs}concat=n={CLIPS}:v=1:a=1[v][a];[a]loudnorm=I=-14:TP=-1,aresample=48000[l]"
    inputs = [part for number in range(CLIPS) for part in ("-i", folder / f"clip-{number}.mp4")]
    codecs = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "19", "-pix_fmt", "yuv420p", "-c:a", "aac")
    graph = ";".join([*chains, joined])
    ffmpeg(*inputs, "-filter_complex", graph, "-map", "[v]", "-map", "[l]", *codecs, folder / "out.mp4")


def by_moviepy(folder: Path) -> None:
    """Cut with MoviePy. It has no loudness."""
    from moviepy import CompositeVideoClip, TextClip, VideoFileClip, concatenate_videoclips  # noqa: PLC0415

    scenes = []
    for number, text in enumerate(TEXTS):
        clip = VideoFileClip(str(folder / f"clip-{number}.mp4"))
        caption = TextClip(font=str(FILE), text=text, font_size=38, color="white", stroke_color="black", stroke_width=3)
        place = ("center", HEIGHT - 110)
        scenes.append(CompositeVideoClip([clip, caption.with_duration(clip.duration).with_position(place)]))
    film = concatenate_videoclips(scenes)
    film.write_videofile(
        str(folder / "out.mp4"), fps=30, codec="libx264", preset="veryfast", audio_codec="aac", logger=None
    )


WAYS: dict[str, Callable[[Path], object]] = {
    "first cut": lambda folder: asyncio.run(cut(folder)),
    "one changed scene": lambda folder: asyncio.run(cut(folder, changed=True)),
    "only joined": lambda folder: asyncio.run(cut(folder)),
    "fades, segments there": lambda folder: asyncio.run(cut(folder, fade=FADE)),
    "one FFmpeg command": by_ffmpeg,
    "MoviePy": by_moviepy,
}


def measured(way: str, folder: Path) -> Figures:
    """Run one way in a process of its own."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.cut", "--way", way, str(folder)])
    # The figures include the descendants that it has waited for; the memory is that of the largest one.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{way} has failed")
    wall = time.monotonic() - begun
    said = ffmpeg("-i", folder / "out.mp4", "-af", "ebur128", "-f", "null", "-")
    minutes, seconds = re.findall(r"time=\d+:(\d+):(\S+)", said)[-1]
    loudness = re.findall(r"I:\s+(\S+) LUFS", said)[-1]
    cpu = usage.ru_utime + usage.ru_stime
    return Figures(cpu, wall, usage.ru_maxrss / 1024, int(minutes) * 60 + float(seconds), float(loudness))


def main(rounds: int) -> None:
    """Print the figures of all ways as a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder)
        found: dict[str, list[Figures]] = {}
        for _ in range(rounds):
            for segment in folder.glob("*.mkv"):
                segment.unlink()
            for way in WAYS:
                if way != "MoviePy" or find_spec("moviepy"):
                    found.setdefault(way, []).append(measured(way, folder))
    print(f"| {CLIPS} x {SECONDS} s at {HEIGHT}p | CPU s | wall s | memory MB | film | LUFS | limit |")
    print("|---|---|---|---|---|---|---|")
    for way, each in found.items():
        best = min(each, key=lambda figures: figures.cpu)
        figures = f"{best.cpu:.1f} | {best.wall:.1f} | {max(one.memory for one in each):.0f}"
        print(f"| {way} | {figures} | {best.seconds:.2f} s | {best.loudness} | {LIMITS.get(way, '')} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        WAYS[sys.argv[2]](Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
