"""Captions, the logo and the end card: inside their boxes, in three styles, or refused with a reason."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image, ImageChops

from adreel.cut.plan import Box, Caption, CardPlan, SegmentPlan
from adreel.cut.render.captions import DARK, SPOKEN, WHITE, drawn_captions, layout
from adreel.cut.render.card import card_picture, contrast, layout_card
from adreel.cut.render.fonts import check_glyphs, clean
from adreel.cut.render.segments import render_segment
from adreel.errors import InputError
from tests.cut.measuring import gray_pictures
from tests.cut.unlike_clips import Clip

WIDTH, HEIGHT = 270, 480
TIKTOK = Box(11, 33, 235, 359)
"""The safe area of TikTok, 44, 130, 140 and 484 of 1080x1920 pixels, at a quarter of the size."""
SHORT = "Read all night."
LONG = " ".join(["Reading at night should never wake the person who sleeps next to you"] * 4)[:205]
Style = Literal["plain", "pill", "word"]
STYLES: tuple[Style, ...] = ("plain", "pill", "word")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip("plain", pictures=12, size=(160, 90), luma=110).write(tmp_path_factory.mktemp("clip"))


def spoken_words(text: str, frames: int = 12) -> Caption:
    words = text.split()
    times = [round(number * frames / len(words)) for number in range(len(words) + 1)]
    return Caption(text, 0, frames, tuple(zip(words, times[:-1], times[1:], strict=True)))


def segment(clip: Path, out: Path, **changes: object) -> list[bytes]:
    plan = SegmentPlan(str(clip), "", WIDTH, HEIGHT, "crop", 12)
    render_segment(replace(plan, **changes), out)  # type: ignore[arg-type]
    return gray_pictures(out, (WIDTH, HEIGHT))


def changed(before: bytes, after: bytes) -> tuple[int, int, int, int] | None:
    """Return the box of the pixels that differ visibly."""
    differing = bytes(255 if abs(a - b) > 24 else 0 for a, b in zip(before, after, strict=True))
    return Image.frombytes("L", (WIDTH, HEIGHT), differing).getbbox()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("text", [SHORT, LONG], ids=["3 words", "40 words"])
def test_captions_stay_in_their_box(clip: Path, tmp_path: Path, text: str, style: Style) -> None:
    bare = segment(clip, tmp_path / "bare.mkv")
    captions = (spoken_words(text),)
    drawn = segment(clip, tmp_path / "drawn.mkv", captions=captions, caption_style=style, safe_area=TIKTOK)
    for before, after in zip(bare, drawn, strict=True):
        box = changed(before, after)
        assert box is not None
        assert box[0] >= TIKTOK.left
        assert box[1] >= TIKTOK.top
        assert box[2] <= TIKTOK.right
        assert box[3] <= TIKTOK.bottom


def test_a_caption_is_seen_in_its_frames_only(clip: Path, tmp_path: Path) -> None:
    bare = segment(clip, tmp_path / "bare.mkv")
    caption = Caption(SHORT, 4, 8)
    drawn = segment(clip, tmp_path / "drawn.mkv", captions=(caption,), safe_area=TIKTOK)
    seen = [changed(before, after) is not None for before, after in zip(bare, drawn, strict=True)]
    assert seen == [4 <= number < 8 for number in range(12)]


def colors(picture: Image.Image) -> set[tuple[int, ...]]:
    return {color[:3] for _, color in picture.getcolors(1 << 20) or [] if color[3] > 120}  # type: ignore[index]


def spoken_columns(picture: Image.Image) -> tuple[int, int]:
    """Return the first and the last column with the colour of the spoken word."""
    red, _, blue, alpha = picture.split()
    yellow = ImageChops.multiply(ImageChops.subtract(red, blue), alpha).point(lambda level: 255 if level > 120 else 0)
    box = yellow.getbbox()
    assert box is not None
    return box[0], box[2] - 1


def test_the_spoken_word_has_a_colour() -> None:
    (first, second, third) = drawn_captions((spoken_words(SHORT),), TIKTOK, "word")
    assert [(each.start, each.end) for each in (first, second, third)] == [(0, 4), (4, 8), (8, 12)]
    for each in (first, second, third):
        assert {SPOKEN, WHITE, DARK} <= colors(each.picture)
    yellow = [spoken_columns(each.picture) for each in (first, second, third)]
    assert yellow[0][1] < yellow[1][0]
    assert yellow[1][1] < yellow[2][0]


def test_other_styles_have_one_picture_a_caption() -> None:
    for style in ("plain", "pill"):
        (drawn,) = drawn_captions((spoken_words(SHORT),), TIKTOK, style)
        assert (drawn.start, drawn.end) == (0, 12)
        assert SPOKEN not in colors(drawn.picture)
        assert {WHITE, DARK} <= colors(drawn.picture)


def test_pauses_between_words_show_the_caption() -> None:
    caption = Caption("One two", 0, 20, (("One", 2, 5), ("two", 8, 12)))
    drawn = list(drawn_captions((caption,), TIKTOK, "word"))
    assert [(each.start, each.end) for each in drawn] == [(0, 2), (2, 5), (5, 8), (8, 12), (12, 20)]


def test_lines_are_about_equal() -> None:
    lines = layout("Reading at night should never wake the one who sleeps", Box(0, 0, 900, 500)).lines
    assert len(lines) == 2
    assert abs(len(lines[0]) - len(lines[1])) <= 8


def test_a_layout_depends_on_proportions_only() -> None:
    for factor in (1, 2, 7):
        box = Box(0, 0, 226 * factor, 326 * factor)
        assert layout(LONG, box).lines == layout(LONG, Box(0, 0, 904, 1304)).lines


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("مرحبا", "no glyphs for Arabic: م"),
        ("שלום you", "no glyphs for Hebrew: ש"),
        ("夜 reading", "no glyphs for Chinese, Japanese or Korean: 夜"),
        ("よむ", "no glyphs for Hiragana"),
        ("Light 🎉 ❤️", "no glyphs for emoji: 🎉, ❤$"),
        ("नमस्ते", "no glyphs for Devanagari"),
        ("a → b", "no glyphs for symbols: →"),
        ("Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 2, "is wider than the area"),
        ("word " * 900, "text of 900 words does not fit into 222x324 pixels"),
    ],
)
def test_unfit_text_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        layout(text, TIKTOK)


@pytest.mark.parametrize(
    "text",
    [
        "Ångström für 5 €",
        "Ελλάδα",
        "Привет, мир \u2013 «да»",
        "Việt Nam",
        "“Quotes” … it\u2019s 50 % off!",
        "e\u0301te\u0301",
    ],
)
def test_european_letters_have_glyphs(text: str) -> None:
    check_glyphs(text)


def test_unseen_characters_are_left_out() -> None:
    assert clean("so\u00adft\u200b \n\t hy\ufe0fphen\u200d") == "soft hyphen"


def write_logo(path: Path) -> str:
    logo = Image.new("RGBA", (64, 40), (0, 0, 0, 0))
    logo.paste((255, 255, 255, 255), (8, 8, 56, 32))
    logo.save(path)
    return str(path)


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_a_logo_is_in_its_corner(clip: Path, tmp_path: Path, corner: str) -> None:
    bare = segment(clip, tmp_path / "bare.mkv")
    logo = {"logo": write_logo(tmp_path / "logo.png"), "logo_corner": corner, "safe_area": TIKTOK}
    drawn = segment(clip, tmp_path / "drawn.mkv", **logo)
    box = changed(bare[5], drawn[5])
    assert box is not None
    left, top, right, bottom = box
    horizontal = left - TIKTOK.left if corner.endswith("left") else TIKTOK.right - right
    vertical = top - TIKTOK.top if corner.startswith("top") else TIKTOK.bottom - bottom
    assert 0 <= horizontal <= 2
    assert 0 <= vertical <= 2


@pytest.mark.parametrize("corner", ["bottom-left", "bottom-right"])
def test_captions_stand_above_a_logo_in_a_lower_corner(clip: Path, tmp_path: Path, corner: str) -> None:
    logo = {"logo": write_logo(tmp_path / "logo.png"), "logo_corner": corner, "safe_area": TIKTOK}
    bare = segment(clip, tmp_path / "bare.mkv", **logo)
    drawn = segment(clip, tmp_path / "drawn.mkv", captions=(spoken_words(LONG),), **logo)
    box = changed(bare[5], drawn[5])
    assert box is not None
    # The logo is as wide as a fifth of the picture, and half as high.
    assert TIKTOK.top <= box[1] < box[3] <= TIKTOK.bottom - WIDTH // 10


@pytest.mark.parametrize(
    "colors", [(), ("#f4b860", "#2b2d42"), ("#808080",), ("#777777", "#888888"), ("#ffffff",), ("#000080", "#ffd700")]
)
def test_the_text_of_a_card_can_be_read(colors: tuple[str, ...]) -> None:
    frame = card_picture(CardPlan(30, "Read", "glowcap.example", colors), 160, 90)
    card: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    content = card.tobytes()
    pixels = [tuple(content[start : start + 3]) for start in range(0, len(content), 3)]
    background = set(pixels[::160])
    # The most frequent other colour is that of the text and of the field behind the address.
    [(ink, _)] = Counter(pixel for pixel in pixels if pixel not in background).most_common(1)
    assert min(contrast(ink, shade) for shade in background) > 4


def test_a_card_is_checked_before_any_work() -> None:
    with pytest.raises(InputError, match="no glyphs for Thai"):
        layout_card(CardPlan(30, "อ่าน", ""), 160, 90)
    with pytest.raises(InputError, match="wider than the area"):
        layout_card(CardPlan(30, "Read", "https://example.com/" + 100 * "a"), 160, 90)
    text, address = layout_card(CardPlan(30, "Light where you read", "glowcap.example"), 160, 90)
    assert " ".join(text.lines) == "Light where you read"
    assert address.lines == ("glowcap.example",)
