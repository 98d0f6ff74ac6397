"""Captions as pictures: wrapped into their box, at its lower edge, in one of three styles."""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw

from adreel.cut.plan import Box, Caption
from adreel.cut.render.fonts import BOLD, SEMIBOLD, clean, font
from adreel.cut.render.typesetting import Typeset, typeset

LARGEST, LEAST = 0.065, 0.035
"""Sizes of the font, as shares of the shorter side of the box."""
OUTLINE = 0.09
PILL_PADDING, PILL_RADIUS = 0.4, 0.45
"""In sizes of the font."""
WHITE, SPOKEN, DARK = (255, 255, 255), (255, 214, 10), (12, 14, 20)
PILL_ALPHA, OUTLINE_ALPHA = 190, 235
SMOOTH = 4
"""Shapes are drawn larger by this factor, for smooth edges."""


@dataclass(frozen=True)
class Drawn:
    """A picture with straight alpha, its place in the film, and the frames that show it."""

    picture: Image.Image
    left: int
    top: int
    start: int
    end: int


def layout(text: str, box: Box, style: str = "pill") -> Typeset:
    """Fit a caption into its box; InputError if it does not fit in a readable size, or has no glyphs."""
    inner = _even_box(box)
    width, height = inner.right - inner.left, inner.bottom - inner.top
    side = min(width, height)
    return typeset(
        text,
        width,
        height,
        largest=side * LARGEST,
        least=side * LEAST,
        weight=SEMIBOLD if style == "pill" else BOLD,
        padding=PILL_PADDING if style == "pill" else OUTLINE,
    )


def drawn_captions(captions: tuple[Caption, ...], box: Box, style: str) -> Iterator[Drawn]:
    """Yield the pictures of captions; with the style `word` one for each word that is spoken."""
    for caption in captions:
        lines = layout(caption.text, box, style)
        if not lines.lines:
            continue
        spoken = caption.words if style == "word" else ()
        if len(spoken) != len(clean(caption.text).split()):
            spoken = ()
        moment = caption.start
        for number, (_, start, end) in enumerate(spoken):
            if moment < start:
                yield _drawn(lines, box, style, (moment, start))
            if start < end:
                yield _drawn(lines, box, style, (start, end), spoken=number)
            moment = max(moment, end)
        if moment < caption.end:
            yield _drawn(lines, box, style, (moment, caption.end))


def _drawn(lines: Typeset, box: Box, style: str, frames: tuple[int, int], spoken: int | None = None) -> Drawn:
    inner = _even_box(box)
    size = (inner.right - inner.left, inner.bottom - inner.top)
    padding = lines.size * (PILL_PADDING if style == "pill" else OUTLINE)
    top = size[1] - lines.height - padding
    picture = Image.new("RGBA", size)
    if style == "pill":
        left = (size[0] - lines.width) / 2 - padding
        area = (left, top - padding, size[0] - left, float(size[1]))
        picture = painted(picture, rounded(size, area, PILL_RADIUS * lines.size), DARK, PILL_ALPHA)
    masks = {name: Image.new("L", size) for name in ("outline", "text", "spoken")}
    count = 0
    for number, line in enumerate(lines.lines):
        left, base = (size[0] - lines.length(line)) / 2, top + lines.base(number)
        # Word by word, so that no letter moves when a word gets its colour.
        for position, word in enumerate(words := line.split()):
            place = (left + lines.length(" ".join([*words[:position], ""])), base)
            _letter(masks["spoken" if count == spoken else "text"], place, word, lines)
            if style != "pill":
                _letter(masks["outline"], place, word, lines, outline=lines.size * OUTLINE)
            count += 1
    for mask, color, alpha in (("outline", DARK, OUTLINE_ALPHA), ("text", WHITE, 255), ("spoken", SPOKEN, 255)):
        picture = painted(picture, masks[mask], color, alpha)
    left, upper, right, lower = picture.getbbox() or (0, 0, 2, 2)
    # The colours of a film have half its resolution: pictures on it start and end at even pixels.
    left, upper, right, lower = left // 2 * 2, upper // 2 * 2, -(-right // 2) * 2, -(-lower // 2) * 2
    return Drawn(picture.crop((left, upper, right, lower)), inner.left + left, inner.top + upper, *frames)


def _letter(mask: Image.Image, place: tuple[float, float], word: str, lines: Typeset, outline: float = 0.0) -> None:
    ImageDraw.Draw(mask).text(
        place, word, fill=255, font=font(lines.size, lines.weight), anchor="ls", stroke_width=outline, stroke_fill=255
    )


def painted(picture: Image.Image, mask: Image.Image, color: tuple[int, ...], alpha: int = 255) -> Image.Image:
    """Return a picture with a colour over it where the mask is."""
    layer = Image.new("RGBA", picture.size, color)
    layer.putalpha(mask.point(lambda level: level * alpha // 255))
    return Image.alpha_composite(picture, layer)


def rounded(size: tuple[int, int], area: tuple[float, float, float, float], radius: float) -> Image.Image:
    """Return the mask of a rectangle with round corners."""
    large = Image.new("L", (size[0] * SMOOTH, size[1] * SMOOTH))
    corners = tuple(round(edge * SMOOTH) - (index > 1) for index, edge in enumerate(area))
    ImageDraw.Draw(large).rounded_rectangle(corners, radius * SMOOTH, fill=255)
    return large.reduce(SMOOTH)


def _even_box(box: Box) -> Box:
    return Box(-(-box.left // 2) * 2, -(-box.top // 2) * 2, box.right // 2 * 2, box.bottom // 2 * 2)
