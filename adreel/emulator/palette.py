"""Colours of a card: every seed has its own, and all of them go together."""

import colorsys
import random
from dataclasses import dataclass

Colour = tuple[int, int, int]

PAPER: Colour = (246, 247, 250)


@dataclass(frozen=True)
class Palette:
    """The colours of one card; `corners` are the background's, clockwise from the top left."""

    corners: tuple[Colour, Colour, Colour, Colour]
    accent: Colour
    glow: Colour
    muted: Colour

    @classmethod
    def of(cls, seed: int) -> "Palette":
        """Derive the colours from a seed."""
        dice = random.Random(seed)  # noqa: S311  (colours, not secrets)
        hue = dice.random()
        turn = dice.choice((0.07, 0.1, -0.08, -0.12))
        corners = ((0.0, 0.15), (0.5, 0.22), (1.0, 0.26), (0.4, 0.11))
        return cls(
            corners=_four([_colour(hue + turn * step, light, 0.58) for step, light in corners]),
            accent=_colour(hue + turn + 0.46, 0.72, 0.85),
            glow=_colour(hue + turn, 0.46, 0.6),
            muted=_colour(hue + turn / 2, 0.84, 0.3),
        )


def _four(colours: list[Colour]) -> tuple[Colour, Colour, Colour, Colour]:
    first, second, third, fourth = colours
    return first, second, third, fourth


def _colour(hue: float, light: float, saturation: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue % 1, light, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)
