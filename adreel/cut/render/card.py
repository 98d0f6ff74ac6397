"""The end card: a text and an address over a gradient."""

from av.video.frame import VideoFrame
from PIL import Image, ImageColor, ImageDraw

from adreel.cut.plan import CardPlan
from adreel.cut.render.captions import painted, rounded
from adreel.cut.render.fonts import BOLD, SEMIBOLD, font
from adreel.cut.render.overlays import video_picture
from adreel.cut.render.typesetting import Typeset, typeset
from adreel.errors import InputError

COLORS = ("#2a3d57", "#141d2b")
"""Bright enough to be no black frames."""
TEXT_WIDTH, TEXT_HEIGHT, ADDRESS_HEIGHT = 0.8, 0.45, 0.15
"""Shares of the picture."""
LARGEST_TEXT, LEAST_TEXT, LARGEST_ADDRESS, LEAST_ADDRESS = 0.13, 0.04, 0.06, 0.03
"""Sizes of the font, as shares of the shorter side."""
PADDING = 0.5
GAP = 0.06
LIGHT = 140
"""Brightness of a background from which the text is dark."""


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
    """Draw a card."""
    text, address = layout_card(card, width, height)
    first, last = _colors(card)
    picture = _gradient(first, last, (width, height))
    is_light = sum(first) / 3 >= LIGHT
    ink, paper = ((16, 18, 24), (255, 255, 255)) if is_light else ((255, 255, 255), (16, 18, 24))
    padding = PADDING * address.size if address.lines else 0.0
    gap = min(width, height) * GAP if text.lines and address.lines else 0.0
    top = (height - text.height - gap - address.height - 2 * padding) / 2
    picture = _written(picture, text, top, ink)
    if address.lines:
        top += text.height + gap
        left = (width - address.width) / 2 - 2 * padding
        area = (left, top, width - left, top + address.height + 2 * padding)
        picture = painted(picture, rounded(picture.size, area, (area[3] - area[1]) / 2), ink)
        picture = _written(picture, address, top + padding, paper)
    return video_picture(picture.convert("RGB"))


def _colors(card: CardPlan) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    colors = []
    for name in card.colors or COLORS:
        try:
            colors.append(ImageColor.getrgb(name)[:3])
        except ValueError as error:
            raise InputError(f"{name!r} is no colour: write one like #0a7f5a") from error
    return colors[0], colors[-1]


def _gradient(first: tuple[int, ...], last: tuple[int, ...], size: tuple[int, int]) -> Image.Image:
    column = Image.new("RGB", (1, size[1]))
    for row in range(size[1]):
        share = row / max(1, size[1] - 1)
        column.putpixel((0, row), tuple(round(a + (b - a) * share) for a, b in zip(first, last, strict=True)))
    return column.resize(size).convert("RGBA")


def _written(picture: Image.Image, text: Typeset, top: float, color: tuple[int, int, int]) -> Image.Image:
    mask = Image.new("L", picture.size)
    for number, line in enumerate(text.lines):
        place = (picture.width / 2, top + text.base(number))
        ImageDraw.Draw(mask).text(place, line, fill=255, font=font(text.size, text.weight), anchor="ms")
    return painted(picture, mask, color)
