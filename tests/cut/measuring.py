"""Measures of finished files by FFmpeg's own program, which shares no code with the renderer."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe


@dataclass(frozen=True)
class Measured:
    frames: int
    video: str
    """FFmpeg's description of the video stream."""
    sound_seconds: float
    loudness: float
    true_peak: float
    black: list[tuple[float, float]]


def ffmpeg(*arguments: str | Path) -> tuple[bytes, str]:
    done = subprocess.run([get_ffmpeg_exe(), "-hide_banner", *arguments], capture_output=True, check=True, timeout=120)
    return done.stdout, done.stderr.decode()


def measure_file(path: Path) -> Measured:
    """Decode a file from its first to its last packet."""
    filters = ["-vf", "blackdetect=d=0.01", "-af", "ebur128=peak=true"]
    _, said = ffmpeg("-i", path, *filters, "-fps_mode", "passthrough", "-f", "null", "-")
    summary = said[said.rindex("Integrated loudness") :]
    sound, _ = ffmpeg("-v", "error", "-i", path, "-map", "0:a", "-f", "f32le", "-ac", "2", "-ar", "48000", "-")
    return Measured(
        frames=int(re.findall(r"frame=\s*(\d+)", said)[-1]),
        video=re.findall(r"Stream #0:0.*?Video: (.*)", said)[0],
        sound_seconds=len(sound) / 8 / 48000,
        loudness=float(re.findall(r"I:\s+(\S+) LUFS", summary)[0]),
        true_peak=float(re.findall(r"Peak:\s+(\S+) dBFS", summary)[0]),
        black=[(float(start), float(end)) for start, end in re.findall(r"black_start:(\S+) black_end:(\S+)", said)],
    )


def gray_pictures(path: Path, size: tuple[int, int], *, frames: int | None = None) -> list[bytes]:
    """Return the luma of each picture."""
    some = [] if frames is None else ["-frames:v", str(frames)]
    raw, _ = ffmpeg(
        "-v", "error", "-i", path, "-fps_mode", "passthrough", *some, "-f", "rawvideo", "-pix_fmt", "gray", "-"
    )
    area = size[0] * size[1]
    return [raw[start : start + area] for start in range(0, len(raw), area)]
