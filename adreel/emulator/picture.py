"""A picture in the planes that H.264 takes: brightness at full size, two of colour at half.

Drawing straight into the planes is what makes a clip cheap: a card is converted once, and a frame costs no more than
the few sprites that move on it.
"""

from dataclasses import dataclass

from av import VideoFrame
from PIL import Image

from adreel.emulator.palette import Colour

FORMAT = "yuv420p"


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
        half = mask.reduce(2)
        return cls(in_planes(colour), (mask, half, half))

    def cropped(self, width: int) -> "Sprite":
        """Return the sprite's left part, an even number of pixels wide."""
        half = self.masks[1].crop((0, 0, width // 2, self.masks[1].height))
        full = self.masks[0].crop((0, 0, width // 2 * 2, self.masks[0].height))
        return Sprite(self.values, (full, half, half))


def in_planes(colour: Colour) -> tuple[int, int, int]:
    """Convert a colour to brightness and colour differences (BT.601, as FFmpeg does)."""
    red, green, blue = (channel / 255 for channel in colour)
    bright = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
    from_blue = 128 - 37.797 * red - 74.203 * green + 112 * blue
    from_red = 128 + 112 * red - 93.786 * green - 18.214 * blue
    return round(bright), round(from_blue), round(from_red)
