"""Sessions as people write them: what is taken, and how what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adreel.catalog import packaged
from adreel.errors import InputError
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session, check_id, parse_session, read_session
from adreel.purchase.request import clip_request
from adreel.records import Records
from adreel.settings import Settings
from tests.factories import make_session, scene_data, session_data

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))
OLD_EXAMPLES = sorted((Path(__file__).parent / "fixtures" / "sessions").glob("*.yaml"))
BAD_IDS = {"empty": "", "slash": "a/b", "dots": "..", "dot": "a.b", "space": "a b", "65 chars": "a" * 65, "umlaut": "ä"}
bad_ids = pytest.mark.parametrize("bad", BAD_IDS.values(), ids=BAD_IDS)


def scenes(*names: str, **changes: Any) -> dict[str, Any]:
    return session_data(scene_descriptions=[scene_data(name, **changes) for name in names])


@pytest.mark.parametrize(
    ("name", "dump"),
    [("ad.yaml", yaml.safe_dump), ("ad.yml", yaml.safe_dump), ("ad.json", json.dumps), ("json-in.yaml", json.dumps)],
)
def test_a_session_is_read_from_yaml_and_json(tmp_path: Path, name: str, dump: Any) -> None:
    (tmp_path / name).write_text(dump(session_data()))
    assert read_session(tmp_path / name) == make_session()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(
            scenes("outro"), "scene_descriptions.0.scenario: .* not one of hook, problem", id="unknown scenario"
        ),
        pytest.param(scenes("hook", "cta", "cta"), "given more than once: cta", id="doubled scene"),
        pytest.param(scenes(), "scene_descriptions: ", id="no scene"),
        pytest.param(scenes(*Scenario, "hook"), "scene_descriptions: ", id="five scenes"),
        pytest.param(scenes("hook", visual_description=""), "hook.visual_description", id="no prompt"),
        pytest.param(scenes("hook", visual_description=" \n"), "hook.visual_desc", id="blank prompt"),
        pytest.param(scenes("hook", duration=0), "hook.duration", id="no duration"),
        pytest.param(scenes("hook", duration=61), "hook.duration", id="too long"),
        pytest.param(scenes("hook", duration=float("nan")), "hook.duration", id="NaN duration"),
        pytest.param(scenes("hook", size="wide"), "hook.size", id="size in words"),
        pytest.param(
            scenes("hook", camera="pan"),
            "hook.camera: there is no such field: did you mean camera_work",
            id="unknown scene field",
        ),
        pytest.param(
            session_data(prodct="x"), "prodct: there is no such field: did you mean product_name", id="unknown field"
        ),
        pytest.param(session_data(product_name=" "), "product_name", id="blank product"),
        pytest.param({}, "product_name.*scene_descriptions", id="empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(data: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=rf"^ad\.yaml: .*{words}"):
        parse_session(data, "ad.yaml")


@bad_ids
def test_a_session_id_that_could_leave_its_folder_is_refused(bad: str) -> None:
    with pytest.raises(InputError, match="session_id"):
        make_session(session_id=bad)


@bad_ids
def test_an_id_is_checked_before_it_becomes_a_path(bad: str) -> None:
    with pytest.raises(InputError, match="job_id"):
        check_id(bad, "job_id")


def test_an_id_with_a_newline_at_its_end_is_refused() -> None:
    with pytest.raises(InputError, match="not usable"):
        check_id("ad\n")


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_letters_digits_dashes_and_underscores_make_an_id(text: str) -> None:
    assert check_id(text) == text
    assert make_session(session_id=text).session_id == text


@pytest.mark.parametrize("character", ["\0", "\x1b[2J", "\x9b31m", "\ud800", "\x07"], ids=ascii)
@pytest.mark.parametrize("place", ["product_name", "brand_colors.1", "hook.visual_description"])
def test_a_control_character_is_refused_with_its_place(place: str, character: str) -> None:
    data = session_data(brand_colors=["red", "blue"])
    item: Any = data
    *path, last = [
        int(step) if step.isdigit() else step for step in place.replace("hook", "scene_descriptions.0").split(".")
    ]
    for step in path:
        item = item[step]
    item[last] = f"a {character}"
    with pytest.raises(InputError, match=place):
        parse_session(data)


def test_line_breaks_and_direction_marks_are_part_of_prose() -> None:
    assert parse_session(session_data(product_name="A\r\n\tB \u200f.")).product_name == "A\r\n\tB \u200f."


def test_a_stored_session_is_read_whatever_its_words_are(records: Records) -> None:
    records.save_session(make_session().model_copy(update={"product_name": "a \x1b[2J lamp"}))
    assert records.session("ad").product_name == "a \x1b[2J lamp"


def test_a_session_without_an_id_gets_one_of_its_own() -> None:
    data = session_data()
    del data["session_id"]
    first, second = parse_session(data), parse_session(data)
    assert check_id(first.session_id) != second.session_id


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("ad.yaml", b"a: [1", id="broken YAML"),
        pytest.param("ad.json", b'{"a": ', id="broken JSON"),
        pytest.param("ad.json", b"product_name: Lamp", id="YAML called JSON"),
        pytest.param("ad.yaml", b"\xff\xfe\x00", id="not text"),
        pytest.param("ad.yaml", b"", id="empty"),
        pytest.param("ad.yaml", b"- hook\n- cta", id="a list"),
        pytest.param("ad.yaml", b"day: 2026-13-45", id="an impossible date"),
        pytest.param("ad.yaml", b"!!python/object:os.system {}", id="a Python object"),
        pytest.param("ad.yaml", b"? {a: 1}\n: 2", id="an unhashable key"),
        pytest.param("ad.yaml", b"1: 2", id="a number as key"),
        pytest.param("ad.yaml", b"&a {product_name: *a}", id="a loop"),
    ],
)
def test_a_file_that_holds_no_session_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_session(tmp_path / name)


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="can't read the session file"):
        read_session(tmp_path / name)


@pytest.mark.parametrize("name", ["deep.json", "deep.yaml"])
def test_a_file_that_is_nested_without_end_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[" * 5000)
    with pytest.raises(InputError, match=name):
        read_session(tmp_path / name)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        pytest.param(None, list(Scenario), id="all four"),
        pytest.param([Scenario.CTA], [Scenario.CTA], id="one"),
        pytest.param([Scenario.CTA, Scenario.HOOK], [Scenario.HOOK, Scenario.CTA], id="in the order of an ad"),
        pytest.param([Scenario.CTA, Scenario.CTA], [Scenario.CTA], id="twice is once"),
    ],
)
def test_choose_gives_all_four_or_those_asked_for(wanted: list[Scenario] | None, chosen: list[Scenario]) -> None:
    assert make_session().choose(wanted) == chosen


def test_a_job_for_all_four_names_the_scenes_that_are_missing() -> None:
    session = parse_session(scenes("hook", "cta"))
    with pytest.raises(InputError, match=r"no scene problem, solution: .*subset of hook, cta"):
        session.choose(None)


def test_a_subset_may_leave_out_what_is_not_described() -> None:
    assert parse_session(scenes("hook", "cta")).choose([Scenario.CTA]) == [Scenario.CTA]


def test_asking_for_no_scene_is_refused() -> None:
    with pytest.raises(InputError):
        make_session().choose([])


def test_a_scene_that_is_not_described_is_named() -> None:
    with pytest.raises(InputError, match="'ad' describes no scene cta"):
        parse_session(scenes("hook")).scene(Scenario.CTA)


def test_scenarios_come_in_the_order_of_an_ad() -> None:
    assert parse_session(scenes("cta", "hook")).scenarios == [Scenario.HOOK, Scenario.CTA]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_can_be_bought_as_they_are(path: Path) -> None:
    session = read_session(path)
    for scenario in session.scenarios:
        assert clip_request(session, session.scene(scenario), Settings(), packaged()).prompt


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", OLD_EXAMPLES, ids=lambda path: path.name)
def test_a_session_file_of_an_earlier_version_is_still_read(path: Path) -> None:
    session = read_session(path)
    bought, refused = {}, {}
    for scenario in session.scenarios:
        try:
            bought[scenario] = clip_request(session, session.scene(scenario), Settings(), packaged())
        except InputError as error:
            refused[scenario] = str(error)
    if path.name == "glowcap.yaml":
        assert (len(bought), refused) == (4, {})
    else:
        assert {(request.width, request.height) for request in bought.values()} == {(720, 1280)}
        assert [warning.code for warning in bought[Scenario.CTA].warnings] == ["notKnown", "noSeed"]
        assert list(refused) == [Scenario.SOLUTION]
        assert refused[Scenario.SOLUTION].endswith(
            "is no longer offered by Runware since 2026-11-11: use Seedance 2.5 (bytedance:seedance@2.5)"
        )


def test_the_json_schema_forbids_unknown_fields() -> None:
    schema = Session.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["SceneDescription"]["additionalProperties"] is False


def test_unknown_fields_read_from_storage_survive_a_rewrite(records: Records) -> None:
    data = session_data(schema_version=1, from_the_future={"a": [1]})
    data["scene_descriptions"][0]["lens"] = "35 mm"
    records.storage.write("sessions/ad/session.json", json.dumps(data).encode())
    records.save_session(records.session("ad"))
    written = json.loads(records.storage.read("sessions/ad/session.json"))
    assert written["from_the_future"] == {"a": [1]}
    assert written["scene_descriptions"][0]["lens"] == "35 mm"


def test_a_file_with_mistakes_has_a_line_for_each_with_its_place_and_what_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "ad.yaml"
    file.write_text("""\
product_name: Lamp
prodct: Lamp
scene_descriptions:
  - scenario: hook
    visual_description: A moth
    camera: slow push in
  - scenario: probelm
    visual_description: A lamp
  - scenario: cta
    duration: 0
cut: {captions: {stlye: pill}}
""")
    with pytest.raises(InputError) as refused:
        read_session(file)
    assert str(refused.value).replace(str(file), "ad.yaml").splitlines() == [
        "ad.yaml, line 2: prodct: there is no such field: did you mean product_name?",
        "ad.yaml, line 6: hook.camera: there is no such field: did you mean camera_work?",
        "ad.yaml, line 7: scene_descriptions.1.scenario: 'probelm' is not one of hook, problem, solution, cta:"
        " did you mean problem?",
        "ad.yaml, line 9: cta.visual_description: Field required",
        "ad.yaml, line 10: cta.duration: Input should be greater than 0",
        "ad.yaml, line 11: cut.captions.stlye: there is no such field: did you mean style?",
    ]
