"""Placements of social networks as one table: what they accept, and the area that their controls leave free."""

from dataclasses import dataclass, field
from typing import Any

from adreel.errors import InputError
from adreel.models.cut_settings import Format
from adreel.text import advise

Edges = tuple[float, float, float, float]
"""Shares of width and height that captions leave free: left, top, right, bottom."""

UPRIGHT: Edges = (65 / 1080, 270 / 1920, 140 / 1080, 672 / 1920)
"""The area of 9:16 that suits TikTok and Meta."""
OTHERS: Edges = (0.06, 0.06, 0.06, 0.08)
META = "https://www.facebook.com/business/ads-guide"
GOOGLE = "https://support.google.com/google-ads/answer/13676244"
TIKTOK = "https://ads.tiktok.com/help/article?aid=6669199281502552069"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What a placement accepts and advises. The first format is the usual one. Lengths in seconds, rates in bit/s."""

    name: str
    formats: tuple[Format, ...]
    safe_areas: dict[Format, Edges] = field(default_factory=dict)
    """Formats without one have the area that suits all placements."""
    shortest: float | None = None
    longest: float | None = None
    advised: tuple[float, float] | None = None
    """Advised lengths."""
    max_bytes: int | None = None
    min_side: dict[Format, int] = field(default_factory=dict)
    """Pixels of the shorter side."""
    min_bit_rate: int | None = None
    advised_audio_bit_rate: int | None = None
    source: str
    as_of: str


META_LIMITS: dict[str, Any] = {"max_bytes": 4 * 1024**3, "advised_audio_bit_rate": 128_000, "source": META}
UPRIGHT_META: dict[str, Any] = {
    **META_LIMITS,
    "formats": ("9:16",),
    "safe_areas": {"9:16": (0.06, 0.14, 0.06, 0.35)},
    "min_side": {"9:16": 120},
    "advised": (0, 30),
}
PLACEMENTS = {
    placement.name: placement
    for placement in (
        Placement(
            name="tiktok",
            formats=("9:16", "1:1", "16:9"),
            safe_areas={"9:16": (44 / 1080, 130 / 1920, 140 / 1080, 484 / 1920)},
            shortest=5,
            longest=60,
            advised=(9, 15),
            max_bytes=500 * 10**6,
            min_side={"9:16": 540, "1:1": 640, "16:9": 540},
            min_bit_rate=516_000,
            source=TIKTOK,
            as_of="2026-11",
        ),
        Placement(name="reels", **UPRIGHT_META, as_of="2026-11"),
        Placement(name="stories", **UPRIGHT_META, as_of="2026-11"),
        Placement(
            name="feed",
            formats=("1:1", "4:5"),
            min_side={"1:1": 120, "4:5": 120},
            advised=(15, 30),
            **META_LIMITS,
            as_of="2026-11",
        ),
        Placement(name="youtube", formats=("16:9", "1:1", "4:5", "9:16"), shortest=5, source=GOOGLE, as_of="2026-11"),
        Placement(name="shorts", formats=("9:16",), shortest=5, source=GOOGLE, as_of="2026-11"),
        Placement(name="bumper", formats=("16:9", "1:1", "9:16"), longest=6, source=GOOGLE, as_of="2026-11"),
    )
}


def find_placement(name: str) -> Placement:
    """Return a placement, or raise InputError."""
    if name not in PLACEMENTS:
        reason = f"no preset {name!r}: {advise(name, PLACEMENTS)}"
        raise InputError(reason, {"preset": reason})
    return PLACEMENTS[name]


def free_edges(shape: Format, preset: str | None = None) -> Edges:
    """Return the shares of a picture that captions leave free, for a placement or for all."""
    everywhere = UPRIGHT if shape == "9:16" else OTHERS
    return everywhere if preset is None else find_placement(preset).safe_areas.get(shape, everywhere)
