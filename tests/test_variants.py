"""One file of products and variants, and the ads that a campaign makes of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adreel.campaigns import check_sessions, read_sessions
from adreel.errors import InputError
from adreel.models.sessions import Session
from adreel.settings import Settings
from tests.factories import scene_data

EXAMPLE = Path(__file__).parents[1] / "examples" / "campaigns" / "spring.yaml"
PRODUCTS: list[dict[str, Any]] = [
    {"session_id": "lamp", "product_name": "Lamp", "main_benefit": "light", "brand_colors": ["red", "blue"]},
    {"session_id": "fan", "product_name": "Fan", "main_benefit": "air"},
]


def variant(name: str, seen: str, **changes: Any) -> dict[str, Any]:
    scenes = [scene_data(scenario, visual_description=seen) for scenario in ("hook", "cta")]
    return {"variant": name, "scene_descriptions": scenes, **changes}


def ads(file: Path, products: object, variants: object) -> list[Session]:
    file.write_text(json.dumps({"products": products, "variants": variants}))
    return list(read_sessions(Settings.load(), str(file)))


def seen(session: Session) -> str:
    return session.scene_descriptions[0].visual_description


def test_each_product_is_made_in_each_variant(tmp_path: Path) -> None:
    made = ads(tmp_path / "ads.json", PRODUCTS, [variant("day", "{product_name}"), variant("night", "{main_benefit}")])
    assert {session.session_id: seen(session) for session in made} == {
        "lamp-day": "Lamp",
        "lamp-night": "light",
        "fan-day": "Fan",
        "fan-night": "air",
    }


def test_a_variant_may_have_a_fact_otherwise(tmp_path: Path) -> None:
    (made,) = ads(tmp_path / "ads.json", PRODUCTS[:1], [variant("v", "{brand_tone}: {brand_colors}", brand_tone="dry")])
    assert (made.brand_tone, seen(made)) == ("dry", "dry: red, blue")


def test_a_word_is_filled_in_once_and_other_braces_stay(tmp_path: Path) -> None:
    facts = {**PRODUCTS[0], "main_benefit": "{session_id}"}
    (made,) = ads(tmp_path / "ads.json", [facts], [variant("v", "{main_benefit} { } {}")])
    assert seen(made) == "{session_id} { } {}"


def test_the_example_can_be_bought_as_it_is() -> None:
    assert check_sessions(Settings.load(), str(EXAMPLE)) == 4
    made = [session.session_id for session in read_sessions(Settings.load(), str(EXAMPLE))]
    assert made == ["glowcap-bedtime", "glowcap-travel", "hushfan-bedtime", "hushfan-travel"]


@pytest.mark.parametrize(
    ("products", "variants", "said"),
    [
        ([], [variant("v", "x")], "has no list of products"),
        (PRODUCTS, None, "has no list of variants"),
        ([{"product_name": "Lamp"}], [variant("v", "x")], "number 1 of its products needs a session_id"),
        (PRODUCTS, [variant("", "x")], "number 1 of its variants needs a variant"),
        (
            PRODUCTS,
            [variant("v", "{price}")],
            r"lamp in variant v: \{price\} is not a fact of the product; the facts are brand_colors",
        ),
        (PRODUCTS, [variant("v", "{brand_colors}")], r"fan in variant v: \{brand_colors\} is not a fact"),
        (PRODUCTS, [variant("v", "x", colour="red")], "lamp in variant v: colour: there is no such field"),
        (PRODUCTS, [variant("v", "x"), variant("v", "y")], "'lamp-v' appears twice"),
        (PRODUCTS, [{"variant": "v"}], "scene_descriptions: List should have at least 1 item"),
    ],
)
def test_what_makes_no_ad_is_named(tmp_path: Path, products: object, variants: object, said: str) -> None:
    file = tmp_path / "ads.json"
    file.write_text(json.dumps({"products": products, "variants": variants}))
    with pytest.raises(InputError, match=said):
        check_sessions(Settings.load(), str(file))


@pytest.mark.parametrize("dump", [json.dumps, yaml.safe_dump])
def test_a_file_of_something_else_says_what_is_expected(tmp_path: Path, dump: Callable[[object], str]) -> None:
    file = tmp_path / ("ads.json" if dump is json.dumps else "ads.yml")
    file.write_text(dump(["a"]))
    with pytest.raises(InputError, match=r"ads\.\w+ has no list of products: a campaign in one file needs"):
        check_sessions(Settings.load(), str(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ads\.yaml does not exist"):
        check_sessions(Settings.load(), str(tmp_path / "ads.yaml"))


def test_a_fact_that_is_too_long_for_a_scene_is_named_before_it_is_filled_in(tmp_path: Path) -> None:
    facts = {**PRODUCTS[0], "main_benefit": "x" * 4001}
    with pytest.raises(InputError, match=r"lamp in variant v: main_benefit has 4001 characters: at most 4000 fit into"):
        ads(tmp_path / "ads.json", [facts], [variant("v", "{main_benefit}" * 1000)])


@pytest.mark.parametrize("name", [True, 1.5, ["day"]])
def test_a_variant_s_name_is_text(tmp_path: Path, name: object) -> None:
    with pytest.raises(InputError, match=r"variant of number 1 of its variants is read as .*: put it in quotes"):
        ads(tmp_path / "ads.json", PRODUCTS, [{**variant("v", "x"), "variant": name}])
