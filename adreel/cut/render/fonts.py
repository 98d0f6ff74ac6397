"""The font of a cut, Noto Sans, and the characters that it can draw."""

import struct
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from PIL import ImageFont

from adreel.errors import InputError

FILE = Path(__file__).parents[1] / "fonts" / "NotoSans.ttf"
SEMIBOLD, BOLD = 600, 700
MOST_NAMED = 5
REFERENCE = 64.0
UNICODE_PLATFORMS = {(0, 3), (0, 4), (3, 1), (3, 10)}


@lru_cache(maxsize=64)
def font(size: float, weight: int = SEMIBOLD) -> ImageFont.FreeTypeFont:
    """Return the font in a size in pixels."""
    made = ImageFont.truetype(FILE, size)
    made.set_variation_by_axes([weight])
    return made


def length_of(text: str, weight: int) -> float:
    """Return the width of text in sizes of the font.

    It is measured in one size. Hinting makes others a little different, and a text that fits has to fit in all.
    """
    return font(REFERENCE, weight).getlength(text) / REFERENCE


def clean(text: str) -> str:
    """Return text in one line, composed, without characters that are not seen."""
    composed = unicodedata.normalize("NFC", text)
    seen = ""
    for character in composed:
        category = unicodedata.category(character)
        if category == "Cc":
            seen += " "
        elif category != "Cf" and not 0xFE00 <= ord(character) <= 0xFE0F:
            seen += character
    return " ".join(seen.split())


def check_glyphs(text: str) -> None:
    """Raise InputError naming the scripts and characters that the font can't draw."""
    missing: dict[str, list[str]] = {}
    for character in clean(text):
        if ord(character) not in _characters():
            named = missing.setdefault(_script(character), [])
            named += [character] if character not in named else []
    if missing:
        kinds = "; ".join(f"{script}: {', '.join(found[:MOST_NAMED])}" for script, found in missing.items())
        raise InputError(f"the font has Latin, Greek and Cyrillic letters, and no glyphs for {kinds}")


def _script(character: str) -> str:
    """Return the script of a character, from its name in Unicode."""
    if ord(character) >= 0x1F000 or 0x2600 <= ord(character) < 0x27C0:
        return "emoji"
    if unicodedata.category(character)[0] not in "LM":
        return "symbols"
    name = unicodedata.name(character, "other letters").split(" ")[0]
    return "Chinese, Japanese or Korean" if name == "CJK" else name.title()


@cache
def _characters() -> frozenset[int]:
    """Return the code points of the font's table `cmap`."""
    content = FILE.read_bytes()
    tables = struct.unpack(">H", content[4:6])[0]
    records = (struct.unpack(">4s4xII", content[12 + 16 * number : 28 + 16 * number]) for number in range(tables))
    start, length = next((offset, size) for tag, offset, size in records if tag == b"cmap")
    cmap = content[start : start + length]
    found: set[int] = set()
    for number in range(struct.unpack(">H", cmap[2:4])[0]):
        platform, encoding, offset = struct.unpack(">HHI", cmap[4 + 8 * number : 12 + 8 * number])
        kind = struct.unpack(">H", cmap[offset : offset + 2])[0]
        if (platform, encoding) in UNICODE_PLATFORMS and kind == 4:
            double = struct.unpack(">H", cmap[offset + 6 : offset + 8])[0]
            ends = struct.unpack(f">{double // 2}H", cmap[offset + 14 : offset + 14 + double])
            starts = struct.unpack(f">{double // 2}H", cmap[offset + 16 + double : offset + 16 + 2 * double])
            found.update(code for first, last in zip(starts, ends, strict=True) for code in range(first, last + 1))
        elif (platform, encoding) in UNICODE_PLATFORMS and kind == 12:
            groups = struct.unpack(">I", cmap[offset + 12 : offset + 16])[0]
            for group in range(groups):
                first, last = struct.unpack(">II", cmap[offset + 16 + 12 * group : offset + 24 + 12 * group])
                found.update(range(first, last + 1))
    return frozenset(found - {0xFFFF})
