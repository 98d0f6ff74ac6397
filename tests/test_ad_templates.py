"""The templates of ads: what they say fits its time, and Runware's emulator accepts every scene."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from adreel.catalog import packaged
from adreel.cli.app import app
from adreel.errors import InputError
from adreel.models.ad_templates import PLATFORMS, ad_templates, find_template
from adreel.models.narration import narration_fit
from adreel.models.scenarios import Scenario
from adreel.models.sessions import read_session
from adreel.purchase.request import clip_request
from adreel.records import Records
from adreel.runware.connection import inference
from adreel.settings import Settings
from tests.factories import make_session
from tests.test_catalog_requests import emulator_refusals

EXAMPLES = Path(__file__).parent.parent / "examples"
LONG = {
    "product_name": "The " + "very " * 30 + "long lamp",
    "main_benefit": "light " * 60,
    "target_audience": "all " * 90,
}
each_template = pytest.mark.parametrize("name", ad_templates())


@each_template
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_scene_is_accepted_for_each_platform(name: str, platform: str) -> None:
    session = find_template(name).session({"product_name": "Dewdrop", "target_platform": platform})
    for scene in session.scene_descriptions:
        request = clip_request(session, scene, Settings(), packaged())
        assert emulator_refusals(inference(uuid4(), request, {})) == []


@each_template
def test_an_ad_has_four_scenes_with_sound_and_words_in_time(name: str) -> None:
    template = find_template(name)
    assert [scene.scenario for scene in template.scene_descriptions] == list(Scenario)
    for facts in ({"product_name": "Dewdrop"}, LONG):
        for seconds in (3, 5, 10):
            for scene in template.session(facts, seconds).scene_descriptions:
                assert scene.duration == seconds
                assert narration_fit(scene.dialog_narration, seconds).is_given
                assert scene.sound_effects
    assert all(scene.dialog_narration for scene in template.session({"product_name": "Dewdrop"}).scene_descriptions)


def test_the_facts_of_the_product_are_in_the_scenes() -> None:
    facts = {"product_name": "GlowCap", "main_benefit": "Light on the page.", "target_audience": "Night readers"}
    *_, solution, cta = find_template("gadget").session(facts).scene_descriptions
    assert solution.dialog_narration == "GlowCap: light on the page."
    assert cta.dialog_narration == "GlowCap, for night readers. Tap to see more."
    on_television = find_template("gadget").session({**facts, "target_platform": "Connected TV"})
    assert on_television.scene(Scenario.CTA).dialog_narration == "GlowCap, for night readers. Look for it today."


def test_facts_that_a_product_has_not_are_suggested_and_others_are_kept() -> None:
    session = find_template("pet").session({"product_name": "Bone {main_benefit}", "brand_tone": "loud"})
    assert (session.brand_tone, session.category) == ("loud", "pet supplies")
    assert "Bone {main_benefit} lies on the carpet" in session.scene(Scenario.SOLUTION).visual_description


def test_an_unknown_template_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match="no template 'spaceship': choose from app, course"):
        find_template("spaceship")


def test_each_template_is_for_another_kind_of_product() -> None:
    found = ad_templates().values()
    assert len(found) >= 10
    for texts in ({each.title for each in found}, {each.about for each in found}, {each.category for each in found}):
        assert len(texts) == len(found)


@pytest.fixture
def adreel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


def test_a_session_file_is_written_from_a_template(adreel: Callable[..., Result], tmp_path: Path) -> None:
    ran = adreel("new", "--template", "skincare", "--product", "Dewdrop: No. 5", "--platform", "TikTok")
    assert "dewdrop-no-5.yaml: an ad for Dewdrop: No. 5 with 4 scenes" in ran.stdout
    session = read_session(tmp_path / "dewdrop-no-5.yaml")
    assert (session.session_id, session.target_platform, session.sound) == ("dewdrop-no-5", "TikTok", True)
    assert session == find_template("skincare").session(
        {"session_id": "dewdrop-no-5", "product_name": "Dewdrop: No. 5", "target_platform": "TikTok"}
    )
    with pytest.raises(InputError, match="exists already: choose another file with --out, or another --id"):
        adreel("new", "--template", "skincare", "--product", "Dewdrop: No. 5")
    assert adreel("new", "--template", "app", "--out", "-").stdout.startswith(
        "session_id: app\nproduct_name: Your product"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["dewdrop-no-5.yaml"]


def test_an_ad_is_copied_for_another_product(adreel: Callable[..., Result], tmp_path: Path) -> None:
    adreel(
        "new", "--from", str(EXAMPLES / "emberly.yaml"), "--product", "Kettle & Co", "--id", "kettle", "--out", "k.yaml"
    )
    session, earlier = read_session(tmp_path / "k.yaml"), read_session(EXAMPLES / "emberly.yaml")
    assert (session.session_id, session.product_name, session.website_url) == ("kettle", "Kettle & Co", "")
    assert session.scene(Scenario.CTA).dialog_narration == "Kettle & Co. Ready when you are."
    assert Path(session.scene(Scenario.HOOK).first_frame or "").samefile(EXAMPLES / "photos" / "emberly.jpg")
    assert session.scene(Scenario.HOOK).visual_description == earlier.scene(Scenario.HOOK).visual_description


def test_a_stored_ad_is_copied_without_the_files_of_its_folder(
    adreel: Callable[..., Result], records: Records, tmp_path: Path
) -> None:
    photo = f"inputs/{'0' * 64}.png"
    ad = make_session(references=[f"{photo}#lamp.png", "https://pictures.example/a.png"], cut={"voice": f"{photo}#v"})
    ad.scene_descriptions[0] = ad.scene_descriptions[0].model_copy(
        update={"first_frame": f"{photo}#lamp.png", "visual_description": "A Lamp: two\n\nlines. Lampshade"}
    )
    records.save_session(ad)
    made = json.loads(adreel("new", "--from", "ad", "--product", "Moon", "--json").stdout)
    assert made == {"session_id": "moon", "file": "moon.yaml", "left_out": ["lamp.png", "v"]}
    session = read_session(tmp_path / "moon.yaml")
    assert session.references == ["https://pictures.example/a.png"]
    assert session.scene(Scenario.HOOK).visual_description == "A Moon: two\n\nlines. Lampshade"
    assert adreel("new", "--from", "ad").stdout.startswith("ad-copy.yaml: an ad for Lamp")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "choose one start"),
        (["--template", "app", "--from", "ad"], "choose one start"),
        (["--template", "apps"], "no template 'apps'"),
        (["--from", "nothing"], "neither a session file nor a session"),
        (["--template", "app", "--id", "no/good"], "--id 'no/good' is not usable"),
        (["--template", "app", "--out", "nowhere/a.yaml"], "can't write nowhere"),
    ],
)
def test_a_new_ad_that_is_not_possible_says_what_to_do(
    adreel: Callable[..., Result], records: Records, tmp_path: Path, words: list[str], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        adreel("new", *words)
    assert list(tmp_path.glob("*.yaml")) == []


def test_the_templates_are_listed(adreel: Callable[..., Result]) -> None:
    assert "skincare  Serums, creams and cosmetics" in adreel("templates").stdout
    assert [each["template"] for each in json.loads(adreel("templates", "--json").stdout)] == list(ad_templates())
