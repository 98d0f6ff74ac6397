"""Text in an area: wrapped into lines of about the same length, and smaller if it has to be."""

from dataclasses import dataclass

from adreel.cut.render.fonts import check_glyphs, clean, font, length_of
from adreel.errors import InputError

LINE_HEIGHT = 1.25
ASCENT, DESCENT = 1.07, 0.3
"""Above and below the base line, in sizes of the font."""
STEP = 0.94
HINTING = 0.985
"""Share of the room that is used: small letters may be wider than their measure."""
MOST_LETTERS = 40
CALM_LINES = 3
CALM_SHARE = 0.75
"""A text gets smaller by this share, at most, to have no more than CALM_LINES lines."""


@dataclass(frozen=True)
class Typeset:
    """Lines of text in one size."""

    size: float
    weight: int
    lines: tuple[str, ...]

    @property
    def width(self) -> float:
        """The width of the longest line."""
        return max(map(self.length, self.lines), default=0.0)

    @property
    def height(self) -> float:
        """From the top of the first line to the bottom of the last."""
        return self.size * (ASCENT + DESCENT + LINE_HEIGHT * (len(self.lines) - 1)) if self.lines else 0.0

    def base(self, number: int) -> float:
        """Return the base line of a line, from the top of the first one."""
        return self.size * (ASCENT + LINE_HEIGHT * number)

    def length(self, text: str) -> float:
        """Return the width of a piece of text."""
        return font(self.size, self.weight).getlength(text)


def typeset(
    text: str, width: float, height: float, *, largest: float, least: float, weight: int, padding: float = 0.0
) -> Typeset:
    """Fit text into an area; InputError if it does not fit in the least readable size, or has no glyphs.

    `padding` is the space around the text, in sizes of the font.
    """
    check_glyphs(text)
    words = clean(text).split()
    size, fitting = largest, None
    while size >= least and words:
        lines = _wrapped(words, HINTING * width / size - 2 * padding, weight)
        found = Typeset(size, weight, lines) if lines else None
        if found and found.height + 2 * padding * size <= height:
            if len(lines) <= CALM_LINES:
                return found
            fitting = fitting or found
        if fitting and size < largest * CALM_SHARE:
            return fitting
        size *= STEP
    if fitting or not words:
        return fitting or Typeset(largest, weight, ())
    longest = max(words, key=lambda word: length_of(word, weight))
    if length_of(longest, weight) > HINTING * width / least - 2 * padding:
        named = longest if len(longest) <= MOST_LETTERS else f"{longest[:MOST_LETTERS]}…"
        raise InputError(f"the word {named!r} is wider than the area of {width:.0f}x{height:.0f} pixels: shorten it")
    area = f"{width:.0f}x{height:.0f} pixels"
    raise InputError(f"the text of {len(words)} words does not fit into {area} in a readable size: shorten it")


def _wrapped(words: list[str], room: float, weight: int) -> tuple[str, ...]:
    """Break words into the fewest lines, as equal as possible; nothing if a word is wider than the room."""
    lengths = [length_of(word, weight) for word in words]
    if max(lengths) > room:
        return ()
    space = length_of(" ", weight)
    lines = _broken(words, lengths, space, room)
    low, high = max(lengths), room
    while high - low > 0.25:
        middle = (low + high) / 2
        narrower = _broken(words, lengths, space, middle)
        if len(narrower) > len(lines):
            low = middle
        else:
            high, lines = middle, narrower
    return tuple(map(" ".join, lines))


def _broken(words: list[str], lengths: list[float], space: float, room: float) -> list[list[str]]:
    lines: list[list[str]] = []
    filled = room
    for word, length in zip(words, lengths, strict=True):
        if lines and filled + space + length <= room:
            lines[-1].append(word)
            filled += space + length
        else:
            lines.append([word])
            filled = length
    return lines
