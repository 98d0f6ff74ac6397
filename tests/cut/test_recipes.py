"""What a cut is made of: formats, sizes and the digest that identifies it."""

from typing import Any

import pytest

from adreel.errors import InputError
from adreel.models.cut_recipes import Recipe, make_recipe
from adreel.models.cut_settings import CutOptions, Format
from adreel.models.placements import PLACEMENTS, free_edges
from adreel.models.scenarios import Scenario
from adreel.models.sessions import parse_session
from tests.factories import make_take, session_data


def recipe(sizes: list[tuple[int, int]] | None = None, options: CutOptions | None = None, **changes: Any) -> Recipe:
    takes = {scenario: make_take(scenario=scenario) for scenario in Scenario}
    for take, (width, height) in zip(takes.values(), sizes or [(1280, 720)] * 4, strict=True):
        assert take.clip is not None
        take.clip.width, take.clip.height, take.clip.sha256 = width, height, take.scenario.value
    return make_recipe(parse_session(session_data(**changes)), takes, options or CutOptions(), "1")


@pytest.mark.parametrize(
    ("sizes", "shape", "expected"),
    [
        ([(1280, 720)] * 4, "16:9", (1280, 720)),
        ([(1284, 716)] * 4, "16:9", (1280, 720)),
        ([(640, 360), (1920, 1080), (640, 360), (640, 360)], "16:9", (1920, 1080)),
        ([(3840, 2160)] * 4, "9:16", (1080, 1920)),
        ([(128, 72)] * 4, "16:9", (128, 72)),
        ([(101, 77)] * 4, "4:5", (76, 96)),
        ([(1280, 720)] * 4, "1:1", (720, 720)),
    ],
)
def test_the_largest_clip_decides_the_size(
    sizes: list[tuple[int, int]], shape: Format, expected: tuple[int, int]
) -> None:
    assert recipe(sizes).size(shape) == expected


def test_most_clips_decide_the_format() -> None:
    assert recipe([(720, 1280), (720, 1280), (1280, 720), (720, 1280)]).formats == ["9:16"]
    assert recipe([(720, 1280)] * 4, cut={"formats": ["1:1", "16:9"]}).formats == ["16:9", "1:1"]


def test_a_preset_gives_its_format_and_refuses_others() -> None:
    assert recipe(options=CutOptions(preset="tiktok"), cut={"formats": ["16:9"]}).formats == ["9:16"]
    assert recipe(options=CutOptions(preset="tiktok", formats=("1:1",))).formats == ["1:1"]
    with pytest.raises(InputError, match="reels does not show 1:1: choose from 9:16"):
        recipe(options=CutOptions(preset="reels", formats=("1:1",)))
    with pytest.raises(InputError, match="no preset 'vine': choose from tiktok"):
        recipe(options=CutOptions(preset="vine"))


def test_captions_stay_within_the_free_area_of_each_placement() -> None:
    assert free_edges("9:16", "tiktok") == PLACEMENTS["tiktok"].safe_areas["9:16"]
    assert free_edges("16:9", "tiktok") == free_edges("16:9")
    for preset in ("tiktok", "reels"):
        usual = zip(free_edges("9:16"), free_edges("9:16", preset), strict=True)
        assert all(ours >= theirs - 0.02 for ours, theirs in usual), preset


def test_the_digest_is_that_of_contents_not_of_names_or_order() -> None:
    first = "inputs/" + "0" * 64 + ".mp3#one.mp3"
    assert recipe(cut={"voice": first}).digest == recipe(cut={"voice": first.replace("one", "two")}).digest
    assert recipe(cut={"voice": first}).digest != recipe(cut={"voice": first.replace("0.mp3", "1.mp3")}).digest
    assert recipe(brand_colors=["red"]).digest == recipe().digest
    card = {"end_card": {"text": "Buy"}}
    assert recipe(brand_colors=["red"], cut=card).digest != recipe(cut=card).digest
    assert recipe().digest != recipe(options=CutOptions(captions=False)).digest
    # A preset counts by what it changes.
    assert recipe().digest == recipe(options=CutOptions(preset="youtube")).digest
    upright = CutOptions(formats=("9:16",))
    assert recipe(options=upright).digest != recipe(options=CutOptions(preset="tiktok")).digest
    assert recipe().digest == recipe(options=CutOptions(allow_missing=True)).digest


def test_the_end_card_has_the_product_and_its_address_by_default() -> None:
    card = recipe(cut={"end_card": {}}, website_url="https://lamp.example").settings.end_card
    assert card is not None
    assert (card.text, card.url) == ("Lamp", "https://lamp.example")
