"""The end card: a text and an address over a brand colour."""

from typing import TypeAlias

from av.video.frame import VideoFrame
from PIL import Image, ImageColor, ImageDraw

from adreel.cut.plan import CardPlan
from adreel.cut.render.captions import painted, rounded
from adreel.cut.render.fonts import BOLD, SEMIBOLD, font
from adreel.cut.render.overlays import video_picture
from adreel.cut.render.typesetting import Typeset, typeset

Color: TypeAlias = tuple[int, ...]

COLORS = ("#2a3d57",)
"""Bright enough to be no black frames."""
TEXT_WIDTH, TEXT_HEIGHT, ADDRESS_HEIGHT = 0.8, 0.45, 0.15
"""Shares of the picture."""
LARGEST_TEXT, LEAST_TEXT, LARGEST_ADDRESS, LEAST_ADDRESS = 0.13, 0.04, 0.06, 0.03
"""Sizes of the font, as shares of the shorter side."""
PADDING = 0.5
GAP = 0.06
SHADE = 0.15
"""Share of black or white in the colour of the lower edge."""
READABLE = 3.0
"""Least contrast of large text in WCAG 2."""
LIGHT, DARK = (255, 255, 255), (16, 18, 24)


def layout_card(card: CardPlan, width: int, height: int) -> tuple[Typeset, Typeset]:
    """Fit the text and the address of a card; InputError if one does not fit in a readable size or has no glyphs."""
    side = min(width, height)
    text = typeset(
        card.text,
        width * TEXT_WIDTH,
        height * TEXT_HEIGHT,
        largest=side * LARGEST_TEXT,
        least=side * LEAST_TEXT,
        weight=BOLD,
    )
    address = typeset(
        card.url,
        width * TEXT_WIDTH,
        height * ADDRESS_HEIGHT,
        largest=side * LARGEST_ADDRESS,
        least=side * LEAST_ADDRESS,
        weight=SEMIBOLD,
        padding=PADDING,
    )
    return text, address


def card_picture(card: CardPlan, width: int, height: int) -> VideoFrame:
    """Draw a card: the first brand colour behind the text, and the other colours on it where they can be read."""
    text, address = layout_card(card, width, height)
    upper, *others = [ImageColor.getrgb(name)[:3] for name in card.colors or COLORS]
    legible = [color for color in others if contrast(color, upper) >= READABLE]
    ink = next(iter(legible), max(LIGHT, DARK, key=lambda color: contrast(color, upper)))
    # The background gets lighter or darker downwards, away from the text.
    end = 0 if sum(ink) > sum(upper) else 255
    lower = tuple(round(level + (end - level) * SHADE) for level in upper)
    lit = Image.linear_gradient("L").resize((width, height))
    picture = Image.composite(Image.new("RGB", lit.size, lower), Image.new("RGB", lit.size, upper), lit).convert("RGBA")
    padding = PADDING * address.size if address.lines else 0.0
    gap = min(width, height) * GAP if text.lines and address.lines else 0.0
    top = (height - text.height - gap - address.height - 2 * padding) / 2
    picture = _written(picture, text, top, ink)
    if address.lines:
        top += text.height + gap
        left = (width - address.width) / 2 - 2 * padding
        area = (left, top, width - left, top + address.height + 2 * padding)
        picture = painted(picture, rounded(picture.size, area, (area[3] - area[1]) / 2), ink)
        picture = _written(picture, address, top + padding, upper)
    return video_picture(picture.convert("RGB"))


def contrast(first: Color, second: Color) -> float:
    """Return the contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    lights = []
    for color in (first, second):
        levels = [level / 255 for level in color]
        linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


def _written(picture: Image.Image, text: Typeset, top: float, color: Color) -> Image.Image:
    mask = Image.new("L", picture.size)
    for number, line in enumerate(text.lines):
        place = (picture.width / 2, top + text.base(number))
        ImageDraw.Draw(mask).text(place, line, fill=255, font=font(text.size, text.weight), anchor="ms")
    return painted(picture, mask, color)
