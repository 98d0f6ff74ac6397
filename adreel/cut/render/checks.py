"""Checks of a finished file, by decoding it."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from av.video.frame import VideoFrame
from PIL import Image

from adreel.cut.plan import RATE, SAMPLE_RATE, AssemblyPlan, Measures
from adreel.cut.render.samples import SAMPLE_BYTES, Loudness, measure
from adreel.cut.render.segments import segment_frames
from adreel.cut.render.sound import HIGHEST_PEAK, decode
from adreel.cut.render.sources import open_media
from adreel.errors import CutFailed

LOUDNESS_TOLERANCE = 0.5
POSTER_SECONDS = 0.5
SAMPLED = (64, 36)
DARK = 38
"""Luma of a black pixel, and the share of such pixels in a black picture, as FFmpeg's blackdetect has them."""
BLACK_SHARE = 0.98
NEARLY_BLACK_SHARE = 0.95
DARK_TABLE = bytes(1 if level <= DARK else 0 for level in range(256))


def check_file(
    out: Path,
    poster: Path,
    plan: AssemblyPlan,
    *,
    segments: Sequence[Path],
    lengths: Sequence[int],
    overlap: int,
    expected: Loudness,
) -> Measures:
    """Decode a finished file, write its poster and return its measures; CutFailed with everything that is wrong."""
    planned = sum(lengths) - overlap * (len(lengths) - 1)
    wrong, black, frames = _check_picture(out, poster, plan, planned)
    if black:
        # A segment may have them as well, or nearly.
        starts = accumulate([0, *(length - overlap for length in lengths[:-1])])
        for start, segment in zip(starts, segments, strict=True):
            for number, frame in enumerate(segment_frames(segment), start):
                if number in black and dark_share(frame) >= NEARLY_BLACK_SHARE:
                    black.remove(number)
    if black:
        wrong.append(f"it has {len(black)} black frames that no clip has, the first at {min(black) / RATE:.2f} s")
    samples = decode(out)
    duration, audio_duration = frames / RATE, len(samples) / SAMPLE_BYTES / SAMPLE_RATE
    if abs(audio_duration - duration) > 1 / RATE:
        wrong.append(f"its sound is {audio_duration:.3f} s long and its picture {duration:.3f} s")
    loudness = measure(samples)
    if not expected.is_silent:
        if abs(loudness.integrated - expected.integrated) > LOUDNESS_TOLERANCE:
            wrong.append(f"its loudness is {loudness.integrated:.1f} LUFS instead of {expected.integrated:.1f}")
        if loudness.peak > HIGHEST_PEAK:
            wrong.append(f"its true peak is {loudness.peak:.1f} dBTP, above {HIGHEST_PEAK:g}")
    if wrong:
        raise CutFailed(f"the finished file is not as planned: {'; '.join(wrong)}")
    return Measures(
        width=plan.width,
        height=plan.height,
        frames=frames,
        duration=round(duration, 3),
        audio_duration=round(audio_duration, 3),
        loudness=None if loudness.is_silent else round(loudness.integrated, 2),
        true_peak=None if loudness.is_silent else round(loudness.peak, 2),
    )


def _check_picture(out: Path, poster: Path, plan: AssemblyPlan, planned: int) -> tuple[list[str], set[int], int]:
    """Return what is wrong with the picture, its black frames and the number of its frames."""
    wrong: list[str] = []
    frames, late, black = 0, 0, set()
    poster_at = min(round(POSTER_SECONDS * RATE), planned - 1)
    with open_media(out) as source:
        video = source.streams.video[0]
        video.thread_type = "AUTO"
        for name, found, wanted in (
            ("size", f"{video.width}x{video.height}", f"{plan.width}x{plan.height}"),
            ("frame rate", str(video.average_rate), str(RATE)),
            ("profile", video.codec_context.profile, "High"),
            ("pixel format", video.pix_fmt, "yuv420p"),
        ):
            if found != wanted:
                wrong.append(f"its {name} is {found} instead of {wanted}")
        for number, frame in enumerate(source.decode(video)):
            frames += 1
            late += frame.pts is None or round(frame.time * RATE) != number
            if dark_share(frame) >= BLACK_SHARE:
                black.add(number)
            if number == poster_at:
                plane, size = frame.reformat(format="rgb24").planes[0], (frame.width, frame.height)
                picture = Image.frombuffer("RGB", size, bytes(plane), "raw", "RGB", plane.line_size, 1)
                picture.save(poster, "JPEG", quality=85)
    if frames != planned:
        wrong.append(f"it has {frames} frames instead of {planned}")
    if late:
        wrong.append(f"{late} of its frames are not in their places")
    return wrong, black, frames


def measure_file(file: Path) -> Measures:
    """Decode a finished file and return its measures."""
    with open_media(file) as source:
        video = source.streams.video[0]
        video.thread_type = "AUTO"
        width, height = video.width, video.height
        frames = sum(1 for _ in source.decode(video))
    samples = decode(file)
    loudness = measure(samples)
    return Measures(
        width=width,
        height=height,
        frames=frames,
        duration=round(frames / RATE, 3),
        audio_duration=round(len(samples) / SAMPLE_BYTES / SAMPLE_RATE, 3),
        loudness=None if loudness.is_silent else round(loudness.integrated, 2),
        true_peak=None if loudness.is_silent else round(loudness.peak, 2),
    )


def dark_share(frame: VideoFrame) -> float:
    """Return the share of black pixels in a picture."""
    plane = frame.reformat(*SAMPLED, format="gray", interpolation="AREA", dst_color_range="MPEG").planes[0]
    rows = bytes(plane).translate(DARK_TABLE)
    dark = sum(sum(rows[row * plane.line_size : row * plane.line_size + SAMPLED[0]]) for row in range(SAMPLED[1]))
    return dark / (SAMPLED[0] * SAMPLED[1])
