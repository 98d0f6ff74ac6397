"""Aspects and resolutions, as people name them, and the sizes in pixels that models offer for them."""

import math
import re
from collections.abc import Iterable

ASPECTS = ("16:9", "9:16", "1:1", "4:5", "5:4", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21")
RESOLUTIONS = {
    "360p": 360,
    "480p": 480,
    "540p": 540,
    "720p": 720,
    "768p": 768,
    "1080p": 1080,
    "1440p": 1440,
    "2k": 1440,
    "4k": 2160,
}
"""Resolutions, and the height in pixels of a 16:9 clip."""
DEFAULT_ASPECT = "16:9"
DEFAULT_RESOLUTION = "720p"
TOLERANCE = 0.04
"""Relative difference between an aspect and a size that counts as equal: many models offer 1280x704 for 16:9."""

_PLATFORMS = (
    (r"tik ?tok|reels?|shorts|stories|story|snapchat", "9:16"),
    (r"feed|instagram|facebook|pinterest|linkedin", "4:5"),
    (r"youtube|vimeo|tv|television|website|web", "16:9"),
)


def aspect_of_platform(platform: str) -> str | None:
    """Return the usual aspect of a platform that people name, such as "TikTok"; None for an unknown one."""
    for pattern, aspect in _PLATFORMS:
        if re.search(rf"\b({pattern})\b", platform, re.IGNORECASE):
            return aspect
    return None


def ratio(shape: str) -> float:
    """Return width divided by height of an aspect (16:9) or a size (1280x720)."""
    width, height = re.split("[x:]", shape)
    return int(width) / int(height)


def has_aspect(size: str, aspect: str) -> bool:
    """Whether a size is of an aspect, within the tolerance."""
    return abs(ratio(size) / ratio(aspect) - 1) <= TOLERANCE


def nearest_aspect(size: str, aspects: Iterable[str] = ASPECTS) -> str:
    """Return the aspect that is nearest to a size."""
    return min(aspects, key=lambda aspect: abs(math.log(ratio(size) / ratio(aspect))))


def distance(size: str, resolution: str) -> float:
    """Return how far a size is from a resolution, by its short side and by its number of pixels."""
    width, height = map(int, size.split("x"))
    lines = RESOLUTIONS[resolution.lower()]
    by_side = abs(math.log(min(width, height) / lines))
    return by_side + abs(math.log(width * height / (lines * lines * 16 / 9)))


def resolution_of(size: str, resolutions: Iterable[str]) -> str:
    """Return the resolution that is nearest to a size."""
    return min(resolutions, key=lambda resolution: distance(size, resolution))


def resolutions_of(sizes: Iterable[str]) -> list[str]:
    """Return the resolutions of a model that only its sizes tell: those of its widescreen sizes, else of all."""
    sizes = list(sizes)
    wide = [size for size in sizes if has_aspect(size, "16:9") or has_aspect(size, "9:16")]
    found = {resolution_of(size, [name for name in RESOLUTIONS if name != "2k"]) for size in wide or sizes}
    return sorted(found, key=lambda name: RESOLUTIONS[name])


def nearest_resolution(wanted: str, offered: Iterable[str]) -> str:
    """Return the offered resolution that is nearest to a wanted one; the smaller of two."""
    lines = RESOLUTIONS[wanted.lower()]
    return min(offered, key=lambda name: (abs(RESOLUTIONS[name.lower()] - lines), RESOLUTIONS[name.lower()]))


def standard_size(aspect: str, resolution: str) -> str:
    """Return the usual size of an aspect: its short side has the lines of the resolution, and sides are even."""
    lines, shape = RESOLUTIONS[resolution.lower()], ratio(aspect)
    longer = 2 * round(lines * max(shape, 1 / shape) / 2)
    return f"{longer}x{lines}" if shape >= 1 else f"{lines}x{longer}"
