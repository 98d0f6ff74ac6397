"""The form of an ad, as a person without script uses it: templates, the catalogue's offers, drafts and photos."""

from pathlib import Path

import pytest

from adreel.models.ad_templates import PLATFORMS, find_template
from adreel.models.scenarios import Scenario
from adreel.models.sessions import read_session
from adreel.records import Records
from adreel.web.pages.compose_page import example
from tests.factories import make_session, write_image
from tests.storyboard.conftest import Orders, Visitor, visiting
from tests.storyboard.reading import Form, PageReader
from tests.storyboard.stories import stored

ROOT = Path(__file__).parent.parent.parent
AD, EDIT = "/sessions/ad", "/sessions/ad/edit"
KLING, WAN = "klingai:kling-video@3-pro", "alibaba:wan@3.0"
PRODUCT = {"product_name": "Dewdrop", "main_benefit": "Calm skin.", "target_platform": "TikTok"}


def new_form(page: PageReader) -> Form:
    return page.form("/new", "Create the ad")


def render(visitor: Visitor, form: Form, button: str, status: int = 200, /, **typed: str) -> PageReader:
    """Press a button that renders the form again."""
    answer = visitor.client.post(form.action, data=form.fields | typed | form.buttons[button])
    assert answer.status_code == status, answer.text
    assert not answer.history
    return PageReader(answer.text)


def test_a_template_writes_the_scenes_of_a_product_and_they_are_edited_before_saving(
    visitor: Visitor, records: Records
) -> None:
    form = new_form(visitor.read("/new"))
    page = render(visitor, form, "Write the scenes", **PRODUCT, template="skincare")
    assert "The scenes are written for skincare." in page.text
    assert "4 clips, about $2.52" in page.text
    form = new_form(page)
    assert form.fields["solution.dialog_narration"] == "Dewdrop: calm skin."
    assert (form.fields["category"], form.fields["main_benefit"], form.fields["sound"]) == (
        "skincare",
        "Calm skin.",
        "true",
    )
    visitor.press(form, "Create the ad", session_id="dew", **{"hook.visual_description": "One drop."})
    session = records.session("dew")
    assert session.scene(Scenario.HOOK).visual_description == "One drop."
    written = find_template("skincare").session(PRODUCT)
    assert session.scene_descriptions[1:] == written.scene_descriptions[1:]


def test_another_template_replaces_what_a_template_wrote_but_no_words_of_a_person(visitor: Visitor) -> None:
    form = new_form(visitor.read("/new"))
    form = new_form(render(visitor, form, "Write the scenes", **PRODUCT, template="skincare"))
    own = {"hook.visual_description": "My hook", "template": "pet"}
    page = render(visitor, form, "Write the scenes", **own)
    assert "Your own words for hook were kept." in page.text
    fields = new_form(page).fields
    assert fields["hook.visual_description"] == "My hook"
    assert "dog" in fields["problem.visual_description"]
    page = render(visitor, new_form(page), "Write the scenes", replace="yes")
    assert "dog" in new_form(page).fields["hook.visual_description"]


@pytest.mark.parametrize(
    ("typed", "field", "reason"),
    [
        ({"product_name": "Dewdrop"}, "template", "Choose a kind of product first."),
        ({"template": "pet"}, "product_name", "the scenes name the product"),
        ({"product_name": "Dewdrop", "template": "nothing"}, "template", "there is no template"),
    ],
)
def test_scenes_that_cannot_be_written_say_why(
    visitor: Visitor, typed: dict[str, str], field: str, reason: str
) -> None:
    page = render(visitor, new_form(visitor.read("/new")), "Write the scenes", 422, **typed)
    assert reason in page.text
    assert {"href": f"#{field}"} in page.all("a")
    assert "field-wrong" in page.by_id(field).get("class", "") or "aria-invalid" in page.by_id(field)


def test_lengths_are_those_that_the_model_offers(visitor: Visitor) -> None:
    form = new_form(visitor.read("/new"))
    page = render(visitor, form, "Write the scenes", **PRODUCT, template="app", model="klingai:5@3")
    assert new_form(page).fields["hook.duration"] == "5"
    form = new_form(
        render(visitor, form, "Look at the prompts", **PRODUCT, **{"hook.visual_description": "x"}, model=WAN)
    )
    assert form.fields["model"] == WAN


def test_shapes_that_the_model_does_not_offer_are_hidden(visitor: Visitor) -> None:
    page = visitor.read("/new")
    shapes = {each["data-aspect"]: "hidden" in each for each in page.all("span") if "data-aspect" in each}
    assert [aspect for aspect, is_hidden in shapes.items() if not is_hidden] == ["16:9", "9:16", "1:1"]
    assert set(PLATFORMS) <= {each.get("value") for each in page.all("option")}


def test_the_prompts_are_those_that_would_be_ordered(visitor: Visitor, records: Records) -> None:
    form = new_form(visitor.read("/new"))
    typed = {
        **PRODUCT,
        "hook.visual_description": "One drop",
        "cta.duration": "5",
        "problem.visual_description": "A jar",
    }
    page = render(visitor, form, "Look at the prompts", **typed, **{"problem.aspect": "4:5", "model": KLING})
    assert "Hook scene of a video ad for Dewdrop. One drop." in page.text
    assert "Framed for TikTok." in page.text
    assert "aspect 4:5 is not offered by Kling VIDEO 3.0 Pro" in page.text
    assert "1 clip, about $0.84" in page.text
    assert records.session_ids() == ["ad"]


def test_a_draft_is_saved_with_fewer_scenes_and_completed_later(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    form = new_form(visitor.read("/new"))
    typed = {"session_id": "draft", "product_name": "Tent", "solution.visual_description": "A tent opens"}
    page = visitor.press(form, "Save draft", **typed, brand_colors="teal, #fff")
    assert "A draft without the hook, problem and call to action" in page.text
    assert [scene.scenario for scene in records.session("draft").scene_descriptions] == [Scenario.SOLUTION]
    assert not [form for form in page.forms if form.action.endswith("/generate")]
    data = {"scenarios": "solution", "token": "t"}
    refused = visitor.client.post("/sessions/draft/generate", data=data)
    assert refused.status_code == 422
    assert "This ad is a draft without the hook, problem and call to action" in PageReader(refused.text).text
    assert orders.parameters == []

    form = visitor.read("/sessions/draft/edit").form("/sessions/draft/edit", "Save the ad")
    assert (form.fields["product_name"], form.fields["brand_colors"]) == ("Tent", "teal, #fff")
    assert form.fields["solution.visual_description"] == "A tent opens"
    words = {f"{each}.visual_description": f"a {each}" for each in (Scenario.HOOK, Scenario.PROBLEM, Scenario.CTA)}
    page = visitor.press(form, "Save the ad", **words, product_name="Big tent")
    assert records.session("draft").product_name == "Big tent"
    page.form("/sessions/draft/generate", "Generate the 4 clips")
    assert "Edit the ad" in page.text


def test_an_empty_draft_is_not_saved(visitor: Visitor, records: Records) -> None:
    form = new_form(visitor.read("/new"))
    page = render(visitor, form, "Save draft", 422, product_name="Tent")
    assert "Describe at least one scene" in page.text
    page = render(visitor, form, "Save draft", 422, product_name="Tent", **{"cta.camera_work": "slow"})
    assert page.by_id("cta-visual_description")["aria-invalid"] == "true"
    assert records.session_ids() == ["ad"]


def test_an_edited_draft_keeps_what_the_form_does_not_show(visitor: Visitor, records: Records) -> None:
    session = make_session(model="minimax:4@1", seconds=6, settings={"fps": 30}, cut={"formats": ["1:1"]}, seed=7)
    session.scene_descriptions[0].settings = {"fps": 24}
    records.save_session(session, "spring")
    form = visitor.read(EDIT).form(EDIT, "Save the ad")
    visitor.press(form, "Save the ad", seed="", **{"hook.seed": "9"})
    stored_session = records.session("ad")
    assert (stored_session.settings, stored_session.seed, stored_session.campaign) == ({"fps": 30}, None, "spring")
    assert stored_session.cut == session.cut
    hook = stored_session.scene(Scenario.HOOK)
    assert (hook.settings, hook.seed) == ({"fps": 24}, 9)


def test_of_two_edits_of_a_draft_none_is_lost(visitor: Visitor, records: Records) -> None:
    first, second = (visitor.read(EDIT).form(EDIT, "Save the ad") for _ in range(2))
    visitor.press(first, "Save the ad", category="lamp")
    page = render(visitor, second, "Save the ad", 409, category="tent")
    assert "changed meanwhile" in page.text
    assert page.form(EDIT, "Save the ad").fields["category"] == "tent"
    assert records.session("ad").category == "lamp"


def test_an_ad_with_an_ordered_clip_is_not_edited_as_a_draft(visitor: Visitor, records: Records) -> None:
    form = visitor.read(EDIT).form(EDIT, "Save the ad")
    stored(records, Scenario.HOOK)
    assert "are ordered already" in visitor.read(EDIT, 409).text
    render(visitor, form, "Save the ad", 409, category="tent")
    assert "Edit the ad" not in visitor.read(AD).text
    assert records.session("ad").category == ""


def test_a_product_photo_is_stored_once_for_the_scenes_that_ask_for_it(
    visitor: Visitor, records: Records, tmp_path: Path
) -> None:
    photo = {"product_photo.file": ("tent.png", write_image(tmp_path / "tent.png").read_bytes())}
    form = new_form(visitor.read("/new"))
    typed = {"session_id": "tent", "product_name": "Tent"} | {f"{each}.visual_description": "x" for each in Scenario}
    uses = {"solution.photo": "first_frame", "cta.photo": "references"}
    data = form.fields | typed | uses | form.buttons["Create the ad"]
    assert visitor.client.post("/new", data=data, files=photo).url.path == "/sessions/tent"
    session = records.session("tent")
    assert session.product_photo is not None
    assert session.product_photo.endswith("#tent.png")
    assert session.scene(Scenario.SOLUTION).first_frame == session.product_photo
    assert session.scene(Scenario.CTA).references == [session.product_photo]
    assert len(records.storage.names("sessions/tent/inputs")) == 1

    page = visitor.read("/sessions/tent/edit")
    form = page.form("/sessions/tent/edit", "Save the ad")
    assert {name: form.fields[name] for name in uses} == uses
    assert (form.fields["product_photo"], form.fields["solution.first_frame"]) == ("tent.png", "")
    assert [image["alt"] for image in page.all("img") if "/inputs/" in image["src"]] == ["tent.png"]
    visitor.press(form, "Save the ad", **{"solution.photo": "", "hook.photo": "first_frame"})
    session = records.session("tent")
    assert session.scene(Scenario.SOLUTION).first_frame is None
    assert session.scene(Scenario.HOOK).first_frame == session.product_photo


def test_a_scene_cannot_use_a_photo_that_is_not_there(visitor: Visitor) -> None:
    form = new_form(visitor.read("/new"))
    typed = {"product_name": "Tent", "hook.visual_description": "x", "hook.photo": "first_frame"}
    page = render(visitor, form, "Save draft", 422, **typed)
    assert page.by_id("hook-photo")["aria-invalid"] == "true"
    assert "There is no product photo yet" in page.text


def test_a_file_that_the_browser_forgets_is_asked_for_again(visitor: Visitor, tmp_path: Path) -> None:
    photo = {"product_photo.file": ("tent.png", write_image(tmp_path / "tent.png").read_bytes())}
    form = new_form(visitor.read("/new"))
    data = form.fields | PRODUCT | {"template": "app"} | form.buttons["Write the scenes"]
    for kept, says in (({}, True), ({"keeps_files": "yes"}, False)):
        answer = visitor.client.post("/new", data=data | kept, files=photo)
        assert ("Please choose the file tent.png again." in answer.text) is says


def test_an_ad_is_copied_for_another_product(visitor: Visitor) -> None:
    fields = new_form(visitor.read("/new?from=ad")).fields
    assert (fields["product_name"], fields["session_id"]) == ("", "")
    assert fields["hook.visual_description"] == "a lamp in the hook"
    assert "There is no such ad" in visitor.read("/new?from=nothing", 404).text


def test_the_example_is_made_by_one_press_on_an_empty_list(records: Records, orders: Orders) -> None:
    with visiting(orders) as client:
        visitor = Visitor(client)
        form = visitor.read("/").form("/example", "Try the example")
        for _ in range(2):
            page = visitor.press(form, "Try the example")
            page.form("/sessions/glowcap/generate", "Generate the 4 clips")
    assert records.session_ids() == ["glowcap"]
    assert example().model_dump() == read_session(ROOT / "examples" / "glowcap.yaml").model_dump()


def test_colours_are_shown_as_swatches(visitor: Visitor, records: Records) -> None:
    records.save_session(make_session(brand_colors=["#f4b860", "Teal", "warm white", "#fff; x", "url(#a)"]))
    assert [each["fill"] for each in visitor.read(EDIT).all("circle")] == ["#f4b860", "#008080"]
