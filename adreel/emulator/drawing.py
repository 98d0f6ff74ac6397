"""Drawing for the clips' cards: colours, text, and pictures in the planes that H.264 encodes.

Sprites are drawn directly into the planes: brightness at full size, two colour differences at half. The still part of a
card is converted once, so a frame costs no more than its few moving sprites.
"""

import colorsys
import random
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from av import VideoFrame
from PIL import Image, ImageFont

Colour = tuple[int, int, int]

PAPER: Colour = (246, 247, 250)
FORMAT = "yuv420p"
LEADING = 1.28


@dataclass(frozen=True)
class Palette:
    """The colours of one card. `corners` are the background's, clockwise from the top left."""

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
        return cls(
            corners=(
                _colour(hue, 0.15, 0.58),
                _colour(hue + turn * 0.5, 0.22, 0.58),
                _colour(hue + turn, 0.26, 0.58),
                _colour(hue + turn * 0.4, 0.11, 0.58),
            ),
            accent=_colour(hue + turn + 0.46, 0.72, 0.85),
            glow=_colour(hue + turn, 0.46, 0.6),
            muted=_colour(hue + turn / 2, 0.84, 0.3),
        )


def _colour(hue: float, light: float, saturation: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue % 1, light, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's built-in typeface at a size in pixels."""
    face = ImageFont.load_default(max(6, size))
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType: the cards need scalable type")
    return face


_PLAIN_SIGNS = str.maketrans(dict(zip("\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00d7", "''\"\"--.x", strict=True)))


def printable(text: str) -> str:
    """Reduce text to the ASCII characters of the typeface, without accents."""
    plain = unicodedata.normalize("NFKD", text).translate(_PLAIN_SIGNS)
    return " ".join("".join(sign for sign in plain if " " <= sign <= "~" or sign.isspace()).split())


@dataclass(frozen=True)
class TextBlock:
    """Wrapped text at the size at which it fits."""

    lines: tuple[str, ...]
    size: int

    @property
    def leading(self) -> int:
        """Return the distance between two lines in pixels."""
        return round(self.size * LEADING)


def fit_text(text: str, width: int, height: int, *, largest: int, smallest: int) -> TextBlock:
    """Wrap text into a box at the largest size that fits. Text that does not fit at `smallest` is cut."""
    for size in range(largest, smallest, -2):
        block = TextBlock(tuple(_wrap(text, size, width)), size)
        if block.leading * len(block.lines) <= height:
            return block
    lines = _wrap(text, smallest, width)
    room = max(0, height // round(smallest * LEADING))
    cut = [*lines[: room - 1], f"{lines[room - 1]} ..."] if 0 < room < len(lines) else lines[:room]
    return TextBlock(tuple(cut), smallest)


def _wrap(text: str, size: int, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@dataclass(frozen=True)
class Picture:
    """Three planes, as wide as the encoder's lines are."""

    planes: tuple[Image.Image, ...]

    @classmethod
    def of(cls, image: Image.Image) -> "Picture":
        """Convert an RGB image."""
        rgb: VideoFrame = VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
        frame = rgb.reformat(format=FORMAT)
        sizes = [((plane.line_size, plane.height), bytes(plane)) for plane in frame.planes]
        return cls(tuple(Image.frombytes("L", size, pixels) for size, pixels in sizes))

    def blended(self, other: "Picture", share: float) -> "Picture":
        """Return a blend with another picture of the same size, of which `share` is seen."""
        return Picture(tuple(map(Image.blend, self.planes, other.planes, (share,) * len(self.planes))))

    def copy(self) -> "Picture":
        """Return a copy to draw on."""
        return Picture(tuple(plane.copy() for plane in self.planes))

    def paint(self, sprite: "Sprite", left: float, top: float) -> None:
        """Draw a sprite with its top left corner at the nearest even pixel."""
        column, row = round(left / 2), round(top / 2)
        for plane, value, mask, scale in zip(self.planes, sprite.values, sprite.masks, (2, 1, 1), strict=True):
            plane.paste(value, (column * scale, row * scale), mask)

    def frame(self, size: tuple[int, int]) -> VideoFrame:
        """Return the picture as a frame to encode."""
        frame = VideoFrame(*size, FORMAT)
        for plane, image in zip(frame.planes, self.planes, strict=True):
            plane.update(image.tobytes())
        return frame


@dataclass(frozen=True)
class Sprite:
    """One colour behind a mask, ready to be painted into planes."""

    values: tuple[int, int, int]
    masks: tuple[Image.Image, Image.Image, Image.Image]

    @classmethod
    def of(cls, mask: Image.Image, colour: Colour) -> "Sprite":
        """Make a sprite from a mask of even sides."""
        red, green, blue = (channel / 255 for channel in colour)
        # BT.601, as FFmpeg converts.
        brightness = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
        blue_difference = 128 - 37.797 * red - 74.203 * green + 112 * blue
        red_difference = 128 + 112 * red - 93.786 * green - 18.214 * blue
        half = mask.reduce(2)
        return cls((round(brightness), round(blue_difference), round(red_difference)), (mask, half, half))

    def cropped(self, width: int) -> "Sprite":
        """Return the sprite's left part, an even number of pixels wide."""
        half = self.masks[1].crop((0, 0, width // 2, self.masks[1].height))
        full = self.masks[0].crop((0, 0, width // 2 * 2, self.masks[0].height))
        return Sprite(self.values, (full, half, half))
