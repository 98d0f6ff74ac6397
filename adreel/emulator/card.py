"""The card of a clip or a still: its text, and the moving parts of a clip.

The still part is drawn once. Three parts move: a comet on the dial, the time in its middle, and the bar at the bottom.
The clip fades from its first frame image into the card, and from the card into the last. References are thumbnails.
"""

import math
from dataclasses import dataclass

from av import VideoFrame
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from adreel.emulator.clips import Clip
from adreel.emulator.drawing import PAPER, Palette, Picture, Sprite, fit_text, font, printable
from adreel.emulator.images import DIGEST, InputImages
from adreel.emulator.stills import Still

SMOOTH = 4  # shapes are drawn at this scale and reduced, since Pillow draws without antialiasing
SECONDS_PER_TURN = 2.5
TAIL = 16
TAIL_STEP = 0.085
READABLE = 9
FADE_SECONDS = 0.5
TITLES = {"hook": "Hook", "problem": "Problem", "solution": "Solution", "cta": "CTA"}


@dataclass(frozen=True)
class Layout:
    """The positions on a card in pixels, derived from its shorter side."""

    width: int
    height: int
    has_thumbnails: bool = False

    @property
    def unit(self) -> int:
        """Return the shorter side."""
        return min(self.width, self.height)

    @property
    def wide(self) -> bool:
        """Whether the dial is beside the text, not above it."""
        return self.width >= 1.25 * self.height

    @property
    def margin(self) -> int:
        """Return the margin at each side."""
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
        """Return the font size of the small print, 0 if it would be too small to read."""
        size = round(0.03 * self.unit)
        return size if size >= READABLE else 0

    @property
    def text(self) -> tuple[int, int, int, int]:
        """Return the left, top, right and bottom of the prompt's box."""
        beside = self.width - 2 * self.margin - 2.3 * self.radius
        right = round(beside - self.margin / 2) if self.wide else self.width - self.margin
        below = 2 * self.margin + 2.3 * self.radius
        top = self.title_top + 1.5 * self.title if self.wide else below
        return self.margin, round(top), right, self.thumbnails_top - round(0.7 * self.footer)

    @property
    def thumbnail(self) -> int:
        """Return the side of a reference's square thumbnail."""
        return max(2, round(0.14 * self.unit))

    @property
    def thumbnails_top(self) -> int:
        """Return the top of the thumbnails, which is the bottom of the text without any."""
        bottom = self.bar[1] - round(1.9 * self.footer)
        return bottom - round(1.2 * self.thumbnail) if self.has_thumbnails else bottom

    @property
    def title(self) -> int:
        """Return the font size of the scenario's name."""
        return max(READABLE, round(0.125 * self.unit))

    @property
    def title_top(self) -> int:
        """Return the top of the scenario's name."""
        return self.margin + round(1.9 * self.footer)


class Card:
    """Draws the frames of one clip."""

    def __init__(self, clip: Clip, images: InputImages) -> None:
        self._clip, self._palette = clip, Palette.of(clip.seed)
        references = [image for image in clip.references if image.startswith(DIGEST)]
        self._layout = Layout(clip.width, clip.height, has_thumbnails=bool(references))
        self._first, self._last = (_frame_picture(image, clip, images) for image in (clip.first, clip.last))
        self._fade = max(1, min(round(FADE_SECONDS * clip.rate), clip.frames // 2))
        background = _draw_background(self._layout, self._palette)
        _draw_text(ImageDraw.Draw(background), self._layout, self._palette, clip)
        _draw_thumbnails(background, self._layout, references, images)
        self._still = Picture.of(background)
        _, _, width, height = self._layout.bar
        self._bar = Sprite.of(_pill(width, height), self._palette.accent)
        self._comet: list[Sprite] = []
        largest = max(2, 0.16 * self._layout.radius)
        for place in range(TAIL):
            size = largest * (0.35 + 0.65 * place / (TAIL - 1))
            strength = round(255 * ((place + 1) / TAIL) ** 1.6)
            dot = _ellipse(size, 2 * max(1, math.ceil(size / 2)), fill=strength)
            self._comet.append(Sprite.of(dot, self._palette.accent))
        self._digits = {sign: _digit(sign, max(7, round(0.5 * self._layout.radius))) for sign in "0123456789."}

    def frame(self, number: int) -> VideoFrame:
        """Draw one frame."""
        picture = self._still.copy()
        seconds = number / self._clip.rate
        left, top, width, _ = self._layout.bar
        if (filled := int(width * (number + 1) / self._clip.frames)) >= 2:
            picture.paint(self._bar.cropped(filled), left, top)
        column, row = self._layout.centre
        for place, dot in enumerate(self._comet):
            angle = 2 * math.pi * seconds / SECONDS_PER_TURN - math.pi / 2 - TAIL_STEP * (TAIL - 1 - place)
            half = dot.masks[0].width / 2
            dot_left = column + self._layout.radius * math.cos(angle) - half
            picture.paint(dot, dot_left, row + self._layout.radius * math.sin(angle) - half)
        digits = [self._digits[sign] for sign in f"{seconds:.1f}"]
        digit_left = column - sum(digit.masks[0].width for digit in digits) / 2
        for digit in digits:
            picture.paint(digit, digit_left, row - digit.masks[0].height / 2)
            digit_left += digit.masks[0].width
        left_over = self._clip.frames - 1 - number
        if self._first and number < self._fade:
            picture = picture.blended(self._first, 1 - number / self._fade)
        elif self._last and left_over < self._fade:
            picture = picture.blended(self._last, 1 - left_over / self._fade)
        return picture.frame((self._clip.width, self._clip.height))


def still_card(still: Still, images: InputImages) -> Image.Image:
    """Draw a still: the card of a clip without moving parts."""
    palette = Palette.of(still.seed)
    references = [image for image in still.references if image.startswith(DIGEST)]
    layout = Layout(still.width, still.height, has_thumbnails=bool(references))
    card = _draw_background(layout, palette)
    _draw_text(ImageDraw.Draw(card), layout, palette, still)
    _draw_thumbnails(card, layout, references, images)
    return card


def _draw_background(layout: Layout, palette: Palette) -> Image.Image:
    """Draw the background, the dial's ring and the track of the bar."""
    corners = Image.new("RGB", (2, 2))
    first, second, third, fourth = palette.corners
    corners.putdata([first, second, fourth, third])
    # Soft light is drawn small: blurring it at full size would cost more than all frames together.
    small = corners.resize((160, 90), Image.Resampling.BICUBIC)
    light = Image.new("L", small.size)
    ImageDraw.Draw(light).ellipse((95, -30, 175, 50), fill=110)
    ImageDraw.Draw(light).ellipse((-40, 60, 40, 140), fill=60)
    small.paste(palette.glow, (0, 0), light.filter(ImageFilter.GaussianBlur(18)))
    image = small.resize((layout.width, layout.height), Image.Resampling.BICUBIC)
    radius, thickness = layout.radius, max(1.0, 0.035 * layout.radius)
    side = 2 * math.ceil(radius + thickness)
    ring = _ellipse(2 * radius + thickness, side, outline=90, width=round(thickness * SMOOTH))
    column, row = (round(place - side / 2) for place in layout.centre)
    image.paste(palette.muted, (column, row), ring)
    left, top, width, height = layout.bar
    image.paste(palette.muted, (left, top), _pill(width, height).point(lambda value: value * 0.28))
    return image


def _frame_picture(image: str | None, clip: Clip, images: InputImages) -> Picture | None:
    """Return a frame image that fills the clip; None without one, and for a URL, which is not fetched."""
    if image is None or not image.startswith(DIGEST):
        return None
    return Picture.of(ImageOps.fit(images.open(image), (clip.width, clip.height)))


def _draw_thumbnails(background: Image.Image, layout: Layout, references: list[str], images: InputImages) -> None:
    side, left = layout.thumbnail, layout.margin
    for image in references:
        if left + side > layout.width - layout.margin:
            return
        background.paste(ImageOps.fit(images.open(image), (side, side)), (left, layout.thumbnails_top))
        left += round(1.15 * side)


def _draw_text(draw: ImageDraw.ImageDraw, layout: Layout, palette: Palette, output: Clip | Still) -> None:
    left, top, right, bottom = layout.text
    title = TITLES.get(output.scenario or "", "Scene")
    draw.text((left, layout.title_top), title, PAPER, font(layout.title))
    block = fit_text(
        printable(output.prompt),
        right - left,
        bottom - top,
        largest=max(READABLE, round(0.058 * layout.unit)),
        smallest=max(READABLE - 1, round(0.03 * layout.unit)),
    )
    for number, line in enumerate(block.lines):
        draw.text((left, top + number * block.leading), line, palette.muted, font(block.size))
    if not layout.footer:
        return
    face, size = font(layout.footer), layout.footer
    draw.text((layout.margin, layout.margin), "ADREEL  /  LOCAL RUNWARE", palette.accent, face)
    row, right = layout.bar[1] - round(1.9 * size), layout.width - layout.margin
    draw.text(
        (layout.margin, row), f"{printable(output.model)}   {output.width} x {output.height}", palette.muted, face
    )
    draw.text((right, row), f"seed {output.seed}", palette.muted, face, anchor="ra")
    column, middle = layout.centre
    draw.text((column, middle + 0.42 * layout.radius), output.note, palette.muted, face, anchor="mm")


def _ellipse(diameter: float, side: int, **style: int) -> Image.Image:
    """Return a square mask with a circle in its middle."""
    mask = Image.new("L", (side * SMOOTH, side * SMOOTH))
    inset = (side - diameter) / 2 * SMOOTH
    box = (inset, inset, side * SMOOTH - inset - 1, side * SMOOTH - inset - 1)
    ImageDraw.Draw(mask).ellipse(box, **style)
    return mask.reduce(SMOOTH)


def _pill(width: int, height: int) -> Image.Image:
    mask = Image.new("L", (width * SMOOTH, height * SMOOTH))
    box = (0, 0, width * SMOOTH - 1, height * SMOOTH - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius=height * SMOOTH / 2, fill=255)
    return mask.reduce(SMOOTH)


def _digit(sign: str, size: int) -> Sprite:
    face = font(size)
    # All digits get the width of the widest, so that the time does not move sideways.
    width = max(face.getlength(digit) for digit in ("." if sign == "." else "0123456789"))
    mask = Image.new("L", (2 * math.ceil(width / 2), 2 * math.ceil(0.65 * size)))
    ImageDraw.Draw(mask).text((mask.width / 2, mask.height - 0.2 * size), sign, 255, face, anchor="ms")
    return Sprite.of(mask, PAPER)
