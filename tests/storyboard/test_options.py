"""Model, shape, sound and images on the pages, for all scenes and for one, with uploads, as without script."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from adreel.catalog import packaged
from adreel.models.api import ClipWarning
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.records import Records, StoredSession
from tests.factories import make_session, make_take, write_image
from tests.storyboard.conftest import Orders, Visitor, visiting
from tests.storyboard.reading import Form, PageReader
from tests.storyboard.stories import stored

AD = "/sessions/ad"
WAN, KLING = "alibaba:wan@3.0", "klingai:kling-video@3-pro"


def upload(visitor: Visitor, form: Form, button: str, files: Any, status: int = 200, /, **typed: str) -> PageReader:
    answer = visitor.client.post(form.action, data=form.fields | typed | form.buttons[button], files=files)
    assert answer.status_code == status, answer.text
    return PageReader(answer.text)


def scene_form(page: PageReader) -> Form:
    return page.form(f"{AD}/scenes/hook", "Save")


def common_form(page: PageReader) -> Form:
    return page.form(f"{AD}/options", "Save for all scenes")


def inputs(records: Records) -> list[str]:
    return records.storage.names("sessions/ad/inputs")


def is_unchanged(records: Records) -> bool:
    of_record = set(StoredSession.model_fields) - set(Session.model_fields)
    kept = records.session("ad").model_dump(exclude=of_record)
    return kept == make_session().model_dump()


@pytest.fixture
def lamp(tmp_path: Path) -> tuple[str, bytes]:
    return "lamp.png", write_image(tmp_path / "lamp.png").read_bytes()


def test_what_all_scenes_have_in_common_is_saved_and_shown_where_a_scene_says_nothing(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    page = visitor.press(
        common_form(visitor.read(AD)),
        "Save for all scenes",
        **{"model": WAN, "aspect": "9:16", "sound": "false", "resolution": "1080p", "negative_prompt": "text"},
        references="https://a.example/1.png\nhttps://a.example/2.png",
    )
    session = records.session("ad")
    assert (session.model, session.aspect, session.sound, session.resolution) == (WAN, "9:16", False, "1080p")
    assert session.references == ["https://a.example/1.png", "https://a.example/2.png"]
    assert page.by_id("hook-model")["placeholder"] == WAN
    assert page.by_id("hook-negative_prompt")["placeholder"] == "text"
    assert page.by_id("hook-references")["placeholder"] == "https://a.example/1.png, https://a.example/2.png"
    assert "As for all scenes: off" in page.text
    assert "Wan3.0, from 0.05 USD per second" in page.text
    fields = scene_form(page).fields
    assert (fields["model"], fields["aspect"], fields["sound"], fields["references"]) == ("", "", "", "")
    emptied = dict.fromkeys(("model", "aspect", "sound", "resolution", "negative_prompt", "references"), "")
    visitor.press(common_form(page), "Save for all scenes", **emptied)
    assert is_unchanged(records)
    assert orders.parameters == []


def test_every_model_is_offered_by_its_name_with_its_price_and_date(visitor: Visitor) -> None:
    page = visitor.read(AD)
    offered = {each["value"] for each in page.all("option")}
    assert {model.air for model in packaged().usable()} <= offered
    assert "Kling VIDEO 3.0 Pro, from 0.112 USD per second (27 Sep 2026)" in page.text
    assert {each["list"] for each in page.all("input") if "list" in each} == {page.all("datalist")[0]["id"]}


def test_sound_has_three_positions(visitor: Visitor, records: Records) -> None:
    visitor.press(scene_form(visitor.read(AD)), "Save", model=KLING)
    for said, sound in (("true", True), ("false", False), ("", None)):
        page = visitor.press(scene_form(visitor.read(AD)), "Save", sound=said)
        assert records.session("ad").scene(Scenario.HOOK).sound is sound
        assert scene_form(page).fields["sound"] == said


def test_what_the_model_does_not_offer_is_told_at_its_field_and_everything_typed_stays(
    visitor: Visitor, records: Records
) -> None:
    typed = {"model": KLING, "aspect": "4:5", "negative_prompt": "text", "seed": "7"}
    page = visitor.press(scene_form(visitor.read(AD)), "Save", 422, **typed)
    assert "aria-invalid" in page.by_id("hook-aspect")
    assert "aspect 4:5 is not offered by Kling VIDEO 3.0 Pro" in page.text
    assert {name: scene_form(page).fields[name] for name in typed} == typed
    page = visitor.press(common_form(visitor.read(AD)), "Save for all scenes", 422, **typed)
    assert "aria-invalid" in page.by_id("all-aspect")
    assert {name: common_form(page).fields[name] for name in typed} == typed
    page = visitor.press(common_form(visitor.read(AD)), "Save for all scenes", 422, model="klingai:kling@9")
    assert "aria-invalid" in page.by_id("all-model")
    assert is_unchanged(records)


def test_an_uploaded_image_is_stored_shown_and_taken_away_again(
    visitor: Visitor, records: Records, lamp: tuple[str, bytes]
) -> None:
    page = upload(visitor, scene_form(visitor.read(AD)), "Save", {"first_frame.file": lamp})
    [file] = inputs(records)
    assert records.session("ad").scene(Scenario.HOOK).first_frame == f"inputs/{file}#lamp.png"
    assert page.by_id("hook-first_frame")["value"] == "lamp.png"
    [image] = [each for each in page.all("img") if each["src"].startswith("/api/sessions/ad/inputs/")]
    assert (image["alt"], image["loading"], image["width"]) == ("lamp.png", "lazy", "96")
    assert visitor.client.get(image["src"]).content == lamp[1]
    page = visitor.press(scene_form(page), "Save", visual_description="a moth")
    assert records.session("ad").scene(Scenario.HOOK).first_frame == f"inputs/{file}#lamp.png"
    visitor.press(scene_form(page), "Save", first_frame="")
    assert records.session("ad").scene(Scenario.HOOK).first_frame is None


def test_an_upload_survives_an_error_of_another_field(
    visitor: Visitor, records: Records, lamp: tuple[str, bytes]
) -> None:
    page = upload(visitor, scene_form(visitor.read(AD)), "Save", {"last_frame.file": lamp}, 422, seed="many")
    assert is_unchanged(records)
    form = scene_form(page)
    assert form.fields["last_frame"] == "lamp.png"
    assert [each["alt"] for each in page.all("img") if each["alt"]] == ["lamp.png"]
    visitor.press(form, "Save", seed="7")
    assert records.session("ad").scene(Scenario.HOOK).last_frame == f"inputs/{inputs(records)[0]}#lamp.png"


def test_two_references_with_the_same_name_are_told_apart(visitor: Visitor, records: Records, tmp_path: Path) -> None:
    images = [("a.png", write_image(tmp_path / "a.png", shade=shade).read_bytes()) for shade in (1, 2)]
    files = [("references.file", image) for image in images]
    url = "https://a.example/3.png"
    page = upload(visitor, common_form(visitor.read(AD)), "Save for all scenes", files, model=WAN, references=url)
    references = records.session("ad").references or []
    assert [each.partition("#")[2] for each in references] == ["", "a.png", "a.png"]
    form = common_form(page)
    assert form.fields["references"] == f"{url}\na.png\na.png (2)"
    visitor.press(form, "Save for all scenes", references="a.png (2)\r\n")
    assert records.session("ad").references == references[2:]


@pytest.mark.parametrize("content", [b"", b"root:x:0:0", b"<svg/>"])
def test_a_file_that_is_no_image_is_told_at_its_field(visitor: Visitor, records: Records, content: bytes) -> None:
    files = {"references.file": ("list.png", content)}
    page = upload(visitor, scene_form(visitor.read(AD)), "Save", files, 422, lighting="dawn")
    assert "aria-invalid" in page.by_id("hook-references")
    assert "the file 'list.png' is neither an https URL nor a PNG, JPEG or WebP image" in page.text
    assert scene_form(page).fields["lighting"] == "dawn"
    assert is_unchanged(records)
    assert inputs(records) == []


@pytest.mark.parametrize(
    "sent",
    [
        {"first_frame": "/etc/passwd"},
        {"first_frame": "/etc/passwd", "images": "/etc/passwd"},
        {"first_frame": "x", "images": "../../../x#x"},
        {"first_frame": "x", "images": f"inputs/{'0' * 64}.png#x"},
        {"references": f"https://a.example/1.png\ninputs/{'0' * 64}.png"},
        {"references": "http://a.example/1.png"},
    ],
)
def test_a_form_names_no_file_of_the_server(visitor: Visitor, records: Records, sent: dict[str, str]) -> None:
    page = visitor.press(scene_form(visitor.read(AD)), "Save", 422, **sent)
    assert "aria-invalid" in page.by_id(f"hook-{next(iter(sent))}")
    assert is_unchanged(records)


def test_a_new_session_starts_from_an_uploaded_image(
    visitor: Visitor, records: Records, lamp: tuple[str, bytes]
) -> None:
    form = visitor.read("/new").form("/new", "Create the ad")
    words = {f"{each}.visual_description": f"a {each}" for each in Scenario}
    files = {"first_frame.file": lamp, "cta.last_frame.file": lamp}
    page = upload(visitor, form, "Create the ad", files, 422, session_id="new", model=KLING, **words)
    assert page.text.count("Please choose the file lamp.png again.") >= 2
    assert records.session_ids() == ["ad"]
    form = page.form("/new", "Create the ad")
    assert (form.fields["model"], form.fields["first_frame"]) == (KLING, "")
    page = upload(visitor, form, "Create the ad", files, product_name="Lamp")
    session = records.session("new")
    [file] = records.storage.names("sessions/new/inputs")
    assert session.first_frame == session.scene(Scenario.CTA).last_frame == f"inputs/{file}#lamp.png"
    assert page.by_id("hook-first_frame")["placeholder"] == "lamp.png"


def test_an_image_for_an_id_that_is_taken_is_not_stored(
    visitor: Visitor, records: Records, lamp: tuple[str, bytes]
) -> None:
    form = visitor.read("/new").form("/new", "Create the ad")
    typed = {f"{each}.visual_description": f"a {each}" for each in Scenario} | {"product_name": "Lamp"}
    upload(visitor, form, "Create the ad", {"first_frame.file": lamp}, 409, session_id="ad", **typed)
    assert is_unchanged(records)
    assert inputs(records) == []


def test_an_edited_shape_takes_the_place_of_a_size(visitor: Visitor, records: Records, orders: Orders) -> None:
    session = make_session()
    session.scene_descriptions[0].size = "1280x720"
    records.save_session(session)
    stored(records, Scenario.HOOK)
    visitor.press(visitor.read(AD).form(f"{AD}/scenes/hook", "Regenerate"), "Regenerate", aspect="1:1")
    scene = records.session("ad").scene(Scenario.HOOK)
    assert (scene.aspect, scene.size) == ("1:1", None)
    changes = orders.parameters[0]["changes"]
    assert (changes["aspect"], "size" in changes) == ("1:1", False)
    page = visitor.press(visitor.read(AD).form(f"{AD}/scenes/hook", "Regenerate"), "Save", size="720x1280")
    assert (scene_form(page).fields["aspect"], scene_form(page).fields["size"]) == ("", "720x1280")


@pytest.mark.parametrize(
    ("changes", "frame"),
    [
        ({}, ("1280", "720")),
        ({"target_platform": "TikTok"}, ("720", "1280")),
        ({"aspect": "1:1"}, ("960", "960")),
        ({"size": "720x1280"}, ("720", "1280")),
        ({"aspect": "9:16", "first_frame": "https://a.example/1.png"}, ("720", "1280")),
        ({"model": "nobody:1@1", "aspect": "4:5"}, ("720", "900")),
    ],
)
def test_a_card_without_a_clip_has_the_shape_that_is_expected(
    visitor: Visitor, records: Records, changes: dict[str, Any], frame: tuple[str, str]
) -> None:
    records.save_session(Session.model_validate(make_session().model_dump() | changes))
    frames = [each for each in visitor.read(AD).all("svg") if each.get("class") == "frame"]
    assert [(each["width"], each["height"]) for each in frames] == [frame] * 4


def test_a_card_tells_before_the_order_what_differs_from_the_description(visitor: Visitor, records: Records) -> None:
    records.save_session(make_session(seed=7))
    assert visitor.read(AD).text.count("The next take: Kling VIDEO 3.0 Standard") == 4
    records.save_session(make_session(model="nobody:1@1"))
    assert visitor.read(AD).text.count("This can't be ordered: scene") == 4


def test_warnings_of_a_request_stand_on_the_card_of_its_take(visitor: Visitor, records: Records) -> None:
    take = make_take(None)
    warning = ClipWarning(code="noSeed", message="the model has no seed: it is <left> out")
    take = take.model_copy(update={"request": take.request.model_copy(update={"warnings": (warning,)})})
    records.save_take(take)
    assert "Warning: the model has no seed: it is <left> out" in visitor.read(AD).text
    records.save_take(make_take().model_copy(update={"request": take.request, "job_id": "job-2"}))
    assert "Warning: the model has no seed: it is <left> out" in visitor.read(AD).text


def test_another_site_uploads_nothing(records: Records, orders: Orders, lamp: tuple[str, bytes]) -> None:
    records.save_session(make_session())
    with visiting(orders) as client:
        for path in (f"{AD}/scenes/hook", f"{AD}/options", "/new"):
            for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
                answer = client.post(path, files={"first_frame.file": lamp}, data={"first_frame": ""}, headers=headers)
                assert answer.status_code == 403
    assert is_unchanged(records)
    assert inputs(records) == []


def test_an_upload_that_is_too_large_is_refused(visitor: Visitor, records: Records) -> None:
    files = {"first_frame.file": ("a.png", b"x" * 33 * 1024 * 1024)}
    answer: httpx.Response = visitor.client.post(f"{AD}/scenes/hook", data={"first_frame": ""}, files=files)
    assert (answer.status_code, inputs(records)) == (413, [])
    page = PageReader(answer.text)
    assert "Too large" in page.text
    assert "The body is larger than 32768 KB: make the images smaller" in page.text
