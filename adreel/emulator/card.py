"""A clip's card: what is written on it, and what moves.

The still part is drawn once. What moves are a few small sprites: a comet on the dial, the time in its middle, and the
bar along the bottom.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from av import VideoFrame
from PIL import Image, ImageDraw, ImageFilter

from adreel.emulator.clip import Clip
from adreel.emulator.lettering import Block, fitted, font, printable
from adreel.emulator.palette import PAPER, Colour, Palette
from adreel.emulator.picture import Picture, Sprite

SMOOTH = 4  # shapes are drawn this much larger and reduced, since Pillow's have no smooth edges
SECONDS_PER_TURN = 2.5
TAIL = 16
TAIL_STEP = 0.085
READABLE = 9
TITLES = {"hook": "Hook", "problem": "Problem", "solution": "Solution", "cta": "CTA"}


@dataclass(frozen=True)
class Layout:
    """Where things are on a card, in pixels; everything follows from its shorter side."""

    width: int
    height: int

    @property
    def unit(self) -> int:
        """Return the shorter side."""
        return min(self.width, self.height)

    @property
    def wide(self) -> bool:
        """Tell whether the dial stands beside the text, not above it."""
        return self.width >= 1.25 * self.height

    @property
    def margin(self) -> int:
        """Return the free space around everything."""
        return round(0.075 * self.unit)

    @property
    def radius(self) -> float:
        """Return the dial's radius."""
        return 0.2 * self.unit if self.wide else 0.16 * self.unit

    @property
    def centre(self) -> tuple[float, float]:
        """Return the dial's centre."""
        inset = self.margin + 1.15 * self.radius
        return (self.width - inset, 0.44 * self.height) if self.wide else (self.width - inset, inset)

    @property
    def bar(self) -> tuple[int, int, int, int]:
        """Return the bar's left, top, width and height, all even."""
        height = max(2, round(0.008 * self.unit) * 2)
        left = self.margin // 2 * 2
        return left, (self.height - self.margin - height) // 2 * 2, (self.width - 2 * left) // 2 * 2, height

    @property
    def footer(self) -> int:
        """Return the size of the small print, 0 where it could not be read."""
        size = round(0.03 * self.unit)
        return size if size >= READABLE else 0

    @property
    def text(self) -> tuple[int, int, int, int]:
        """Return the left, top, right and bottom of the prompt's box."""
        beside = self.width - 2 * self.margin - 2.3 * self.radius
        right = round(beside - self.margin / 2) if self.wide else self.width - self.margin
        below = 2 * self.margin + 2.3 * self.radius
        top = self.title_top + 1.5 * self.title if self.wide else below
        return self.margin, round(top), right, self.bar[1] - round(2.6 * self.footer)

    @property
    def title(self) -> int:
        """Return the size of the scenario's name."""
        return max(READABLE, round(0.125 * self.unit))

    @property
    def title_top(self) -> int:
        """Return the top of the scenario's name."""
        return self.margin + round(1.9 * self.footer)


class Card:
    """Draws the frames of one clip."""

    def __init__(self, clip: Clip) -> None:
        self._clip, self._palette = clip, Palette.of(clip.seed)
        self._layout = Layout(clip.width, clip.height)

    def frame(self, number: int) -> VideoFrame:
        """Draw one frame."""
        picture = self._still.copy()
        self._paint_bar(picture, (number + 1) / self._clip.frames)
        self._paint_comet(picture, number / self._clip.rate)
        self._paint_time(picture, number / self._clip.rate)
        return picture.frame((self._clip.width, self._clip.height))

    def _paint_bar(self, picture: Picture, done: float) -> None:
        left, top, width, _ = self._layout.bar
        if (filled := int(width * done)) >= 2:
            picture.paint(self._bar.cropped(filled), left, top)

    def _paint_comet(self, picture: Picture, seconds: float) -> None:
        column, row = self._layout.centre
        for place, dot in enumerate(self._comet):
            angle = 2 * math.pi * seconds / SECONDS_PER_TURN - math.pi / 2 - TAIL_STEP * (TAIL - 1 - place)
            half = dot.masks[0].width / 2
            left = column + self._layout.radius * math.cos(angle) - half
            picture.paint(dot, left, row + self._layout.radius * math.sin(angle) - half)

    def _paint_time(self, picture: Picture, seconds: float) -> None:
        text = f"{seconds:.1f}"
        cells = [self._digits[sign] for sign in text]
        left = self._layout.centre[0] - sum(cell.masks[0].width for cell in cells) / 2
        for cell in cells:
            picture.paint(cell, left, self._layout.centre[1] - cell.masks[0].height / 2)
            left += cell.masks[0].width

    @cached_property
    def _still(self) -> Picture:
        image = _background(self._layout, self._palette)
        draw = ImageDraw.Draw(image)
        _draw_track(image, self._layout, self._palette)
        _draw_words(draw, self._layout, self._palette, self._clip)
        return Picture.of(image)

    @cached_property
    def _bar(self) -> Sprite:
        _, _, width, height = self._layout.bar
        return Sprite.of(_pill(width, height), self._palette.accent)

    @cached_property
    def _comet(self) -> list[Sprite]:
        largest = max(2, 0.16 * self._layout.radius)
        sizes = [largest * (0.35 + 0.65 * place / (TAIL - 1)) for place in range(TAIL)]
        return [
            Sprite.of(_disc(size, round(255 * ((place + 1) / TAIL) ** 1.6)), self._palette.accent)
            for place, size in enumerate(sizes)
        ]

    @cached_property
    def _digits(self) -> dict[str, Sprite]:
        size = max(7, round(0.5 * self._layout.radius))
        return {sign: _letter(sign, size) for sign in "0123456789."}


def _background(layout: Layout, palette: Palette) -> Image.Image:
    corners = Image.new("RGB", (2, 2))
    first, second, third, fourth = palette.corners
    corners.putdata([first, second, fourth, third])
    # Soft light is drawn small: blurring it at full size would cost more than all frames together.
    small = corners.resize((160, 90), Image.Resampling.BICUBIC)
    light = Image.new("L", small.size)
    ImageDraw.Draw(light).ellipse((95, -30, 175, 50), fill=110)
    ImageDraw.Draw(light).ellipse((-40, 60, 40, 140), fill=60)
    small.paste(palette.glow, (0, 0), light.filter(ImageFilter.GaussianBlur(18)))
    return small.resize((layout.width, layout.height), Image.Resampling.BICUBIC)


def _draw_track(image: Image.Image, layout: Layout, palette: Palette) -> None:
    radius = layout.radius
    ring = _ring(radius, max(1.0, 0.035 * radius), 90)
    column, row = (round(place - ring.width / 2) for place in layout.centre)
    image.paste(palette.muted, (column, row), ring)
    left, top, width, height = layout.bar
    image.paste(palette.muted, (left, top), _pill(width, height).point(lambda value: value * 0.28))


def _draw_words(draw: ImageDraw.ImageDraw, layout: Layout, palette: Palette, clip: Clip) -> None:
    left, top, right, bottom = layout.text
    title = TITLES.get(clip.scenario or "", "Scene")
    draw.text((left, layout.title_top), title, PAPER, font(layout.title))
    block = fitted(
        printable(clip.prompt),
        right - left,
        bottom - top,
        largest=max(READABLE, round(0.058 * layout.unit)),
        smallest=max(READABLE - 1, round(0.03 * layout.unit)),
    )
    _draw_block(draw, block, (left, top), palette.muted)
    if layout.footer:
        _draw_small_print(draw, layout, palette, clip)


def _draw_block(draw: ImageDraw.ImageDraw, block: Block, corner: tuple[int, int], colour: Colour) -> None:
    for number, line in enumerate(block.lines):
        draw.text((corner[0], corner[1] + number * block.leading), line, colour, font(block.size))


def _draw_small_print(draw: ImageDraw.ImageDraw, layout: Layout, palette: Palette, clip: Clip) -> None:
    face, size = font(layout.footer), layout.footer
    draw.text((layout.margin, layout.margin), "ADREEL  /  LOCAL RUNWARE", palette.accent, face)
    row, right = layout.bar[1] - round(1.9 * size), layout.width - layout.margin
    draw.text((layout.margin, row), f"{printable(clip.model)}   {clip.width} x {clip.height}", palette.muted, face)
    draw.text((right, row), f"seed {clip.seed}", palette.muted, face, anchor="ra")
    column, middle = layout.centre
    draw.text((column, middle + 0.42 * layout.radius), f"of {clip.seconds:.1f} s", palette.muted, face, anchor="mm")


def _disc(size: float, strength: int) -> Image.Image:
    side = 2 * max(1, math.ceil(size / 2))
    mask = Image.new("L", (side * SMOOTH, side * SMOOTH))
    inset = (side - size) / 2 * SMOOTH
    ImageDraw.Draw(mask).ellipse((inset, inset, side * SMOOTH - inset - 1, side * SMOOTH - inset - 1), fill=strength)
    return mask.reduce(SMOOTH)


def _ring(radius: float, thickness: float, strength: int) -> Image.Image:
    side = 2 * math.ceil(radius + thickness)
    mask = Image.new("L", (side * SMOOTH, side * SMOOTH))
    inset = (side / 2 - radius - thickness / 2) * SMOOTH
    box = (inset, inset, side * SMOOTH - inset - 1, side * SMOOTH - inset - 1)
    ImageDraw.Draw(mask).ellipse(box, outline=strength, width=round(thickness * SMOOTH))
    return mask.reduce(SMOOTH)


def _pill(width: int, height: int) -> Image.Image:
    mask = Image.new("L", (width * SMOOTH, height * SMOOTH))
    box = (0, 0, width * SMOOTH - 1, height * SMOOTH - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius=height * SMOOTH / 2, fill=255)
    return mask.reduce(SMOOTH)


def _letter(sign: str, size: int) -> Sprite:
    face = font(size)
    # All digits are as wide as the widest, so that the time does not tremble.
    width = max(face.getlength(digit) for digit in ("." if sign == "." else "0123456789"))
    mask = Image.new("L", (2 * math.ceil(width / 2), 2 * math.ceil(0.65 * size)))
    ImageDraw.Draw(mask).text((mask.width / 2, mask.height - 0.2 * size), sign, 255, face, anchor="ms")
    return Sprite.of(mask, PAPER)
