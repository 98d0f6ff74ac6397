"""Placements of social networks: the formats that they show, and the area that their controls leave free."""

from dataclasses import dataclass

from adreel.errors import InputError
from adreel.models.cut_settings import Format

Edges = tuple[float, float, float, float]
"""Shares of width and height that captions leave free: left, top, right, bottom."""


@dataclass(frozen=True)
class Placement:
    """What a placement shows; the first format is the usual one."""

    name: str
    formats: tuple[Format, ...]
    free: Edges
    """For its first format. Other formats are shown without controls over the picture."""
    source: str
    as_of: str


PLACEMENTS = {
    placement.name: placement
    for placement in (
        Placement(
            "tiktok",
            ("9:16", "1:1", "16:9"),
            (44 / 1080, 130 / 1920, 140 / 1080, 484 / 1920),
            "TikTok Ads Manager: in-feed ads, safe zone",
            "2026-11",
        ),
        Placement(
            "reels",
            ("9:16",),
            (0.06, 0.14, 0.06, 0.35),
            "Meta Ads Guide: Reels and Stories",
            "2026-11",
        ),
        Placement("feed", ("1:1", "4:5"), (0.06, 0.06, 0.06, 0.08), "Meta Ads Guide: feed", "2026-11"),
        Placement(
            "youtube",
            ("16:9", "1:1", "4:5", "9:16"),
            (0.06, 0.06, 0.06, 0.1),
            "Google Ads: video ad specifications",
            "2026-11",
        ),
    )
}

UPRIGHT: Edges = (65 / 1080, 270 / 1920, 140 / 1080, 672 / 1920)
"""The area of 9:16 that suits TikTok and Meta."""
OTHERS: Edges = (0.06, 0.06, 0.06, 0.08)


def find_placement(name: str) -> Placement:
    """Return a placement, or raise InputError."""
    if name not in PLACEMENTS:
        reason = f"no preset {name!r}: choose from {', '.join(PLACEMENTS)}"
        raise InputError(reason, {"preset": reason})
    return PLACEMENTS[name]


def free_edges(shape: Format, preset: str | None = None) -> Edges:
    """Return the shares of a picture that captions leave free, for a placement or for all."""
    if preset is not None and shape == find_placement(preset).formats[0]:
        return find_placement(preset).free
    return UPRIGHT if shape == "9:16" else OTHERS
