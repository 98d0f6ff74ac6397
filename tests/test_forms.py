"""What the forms of Prefect's UI show and take."""

import json
from typing import Any
from uuid import UUID

import pytest
from prefect.flows import Flow
from prefect.utilities.schema_tools.validation import validate

from adreel.catalog.sizes import ASPECTS, RESOLUTIONS
from adreel.emulator import LocalRunware
from adreel.flows.generate_ad import generate_ad
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.flows.resume import resume
from adreel.models.parts import PARTS
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges, Session
from adreel.records import Records, StoredSession
from adreel.storage import Storage
from tests.factories import make_session, scene_data, session_data
from tests.runs import retry, run
from tests.workers import read

FLOWS: list[Flow[..., Any]] = [generate_ad, regenerate_scene, resume]


@pytest.fixture
def records(prefect: str) -> Records:
    return Records(Storage("./outputs"))


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_field_of_a_form_is_explained_and_asks_for_no_kind(flow: Flow[..., Any]) -> None:
    form = flow.parameters.model_dump_for_openapi()
    fields = dict(form["properties"])
    for field in form["properties"].values():
        fields |= field.get("properties", {})
    assert [name for name, field in fields.items() if not field.get("description")] == []
    assert [name for name, field in fields.items() if "anyOf" in field] == []


def test_parts_are_chosen_from_one_list_and_none_is_chosen_at_first() -> None:
    form = generate_ad.parameters.model_dump_for_openapi()
    chosen = form["properties"]["scenarios"]
    assert chosen["items"]["enum"] == list(PARTS)
    assert chosen["default"] == []


def test_a_pasted_session_is_stored_and_generated(runware: LocalRunware, records: Records) -> None:
    job_id, state = run(generate_ad, session_id="", session=session_data(seconds=1), scenarios=["hook"])
    assert state.is_completed(), state.message
    assert records.session("ad").scene_descriptions == make_session(seconds=1).scene_descriptions
    assert read(UUID(job_id)).name == "ad-ad"


def test_a_pasted_session_without_an_id_keeps_the_one_that_it_was_given_when_its_run_comes_back(
    runware: LocalRunware, records: Records
) -> None:
    runware.inject("insufficientCredits:hookx1")
    session = {"product_name": "Lamp", "scene_descriptions": [scene_data(duration=1)]}
    job_id, state = run(generate_ad, session=session, scenarios=["hook"])
    assert state.is_failed()
    [session_id] = records.session_ids()
    assert retry(generate_ad, job_id).is_completed()
    assert records.session_ids() == [session_id]
    assert session_id.startswith("ad-")
    assert read(UUID(job_id)).name == session_id
    assert len(runware.ledger.entries) == 1


def test_a_run_that_comes_back_leaves_the_session_as_people_have_changed_it(
    runware: LocalRunware, records: Records
) -> None:
    job_id, _ = run(generate_ad, session=session_data(seconds=1), scenarios=["hook"])
    records.save_session(make_session(seconds=1, product_name="Lantern"))
    assert retry(generate_ad, job_id).is_completed()
    assert records.session("ad").product_name == "Lantern"


def test_a_pasted_session_replaces_one_that_has_no_takes_and_no_other(runware: LocalRunware, records: Records) -> None:
    records.save_session(make_session(seconds=1, product_name="Torch"))
    run(generate_ad, session=session_data(seconds=1), scenarios=["hook"])
    assert records.session("ad").product_name == "Lamp"
    _, state = run(generate_ad, session=session_data(seconds=1, product_name="Lantern"))
    assert "has takes of hook already" in (state.message or "")
    assert records.session("ad").product_name == "Lamp"
    assert len(runware.ledger.entries) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give either session_id"),
        ({"session_id": "", "session": {}}, "give either session_id"),
        ({"session_id": "ad", "session": {"product_name": "Lamp"}}, "give either session_id"),
        ({"session": session_data(colour="red")}, "session: colour: there is no such field"),
        ({"session": session_data(session_id="../ad")}, "session: session_id: String should match pattern"),
        ({"session": {"session_id": 7}}, "session: session_id: Input should be a valid string"),
        ({"session": {"__prefect_kind": "json", "value": "{"}}, "session is not valid JSON: "),
        ({"session": {"__prefect_kind": "json", "value": "[1]"}}, "session is not a JSON object"),
    ],
)
def test_a_form_that_is_filled_in_wrong_is_refused_by_the_field(
    given: dict[str, Any], words: str, records: Records
) -> None:
    _, state = run(generate_ad, **given)
    assert (state.is_failed(), words in (state.message or "")) == (True, True), state.message
    assert records.session_ids() == []


def test_an_id_may_be_typed_with_the_line_break_that_its_field_invites_to(
    runware: LocalRunware, records: Records
) -> None:
    records.save_session(make_session(seconds=1))
    job_id, state = run(generate_ad, session_id=" ad\n", scenarios=["hook"])
    assert state.is_completed(), state.message
    assert read(UUID(job_id)).name == "ad-ad"


@pytest.mark.parametrize(
    "kept",
    [
        {"session_id": "ad", "session": {"__prefect_kind": "json"}},
        {"session": {"__prefect_kind": "json", "value": json.dumps(session_data(seconds=1))}},
    ],
    ids=["by-id", "pasted"],
)
def test_what_a_schedule_keeps_of_a_form_is_taken_as_the_form_shows_it(
    kept: dict[str, Any], runware: LocalRunware, records: Records
) -> None:
    if "session_id" in kept:
        records.save_session(make_session(seconds=1))
    job_id, state = run(generate_ad, **kept, scenarios=["hook"])
    assert state.is_completed(), state.message
    assert read(UUID(job_id)).name == "ad-ad"


def test_changes_that_are_left_empty_leave_the_description_as_it_is(runware: LocalRunware, records: Records) -> None:
    records.save_session(make_session(seconds=1))
    job_id, _ = run(regenerate_scene, session_id="ad", scenario="hook", changes={})
    take = records.take("ad", Scenario.HOOK, job_id)
    assert take is not None
    assert take.scene == make_session(seconds=1).scene(Scenario.HOOK)


def test_shape_and_resolution_are_chosen_from_lists_and_sound_is_a_switch() -> None:
    form = regenerate_scene.parameters.model_dump_for_openapi()["properties"]["changes"]["properties"]
    assert form["aspect"]["enum"] == list(ASPECTS)
    assert form["resolution"]["enum"] == list(RESOLUTIONS)
    assert (form["sound"]["type"], "default" in form["sound"]) == ("boolean", False)


def test_the_changes_of_a_scene_are_asked_in_the_order_of_a_description() -> None:
    form = regenerate_scene.parameters.model_dump_for_openapi()["properties"]
    assert [field["position"] for field in form.values()] == list(range(len(form)))
    changes = form["changes"]["properties"]
    assert sorted(changes, key=lambda name: changes[name]["position"]) == list(SceneChanges.model_fields)


def test_options_of_a_form_are_of_its_take_alone(runware: LocalRunware, records: Records) -> None:
    records.save_session(make_session(seconds=1))
    # An untouched field for JSON is stored so by a schedule.
    changes = {"aspect": "9:16", "sound": False, "references": [], "settings": {"__prefect_kind": "json"}}
    job_id, state = run(regenerate_scene, session_id="ad", scenario="hook", changes=changes)
    assert state.is_completed(), state.message
    take = records.take("ad", Scenario.HOOK, job_id)
    assert take is not None
    assert take.scene is not None
    assert (take.scene.aspect, take.scene.sound, take.scene.settings) == ("9:16", False, None)
    assert take.request.width is not None
    assert take.request.height is not None
    assert take.request.width < take.request.height
    of_record = set(StoredSession.model_fields) - set(Session.model_fields)
    kept = records.session("ad").model_dump(exclude=of_record)
    assert kept == make_session(seconds=1).model_dump()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first_frame": "/etc/passwd"}, "is not an https URL"),
        ({"references": ["lamp.png"]}, "is not an https URL"),
        ({"model": "nobody:1@1"}, "is not in the catalogue"),
        ({"settings": {"__prefect_kind": "json", "value": "[1]"}}, "settings is not a JSON object"),
    ],
)
def test_wrong_changes_buy_nothing(
    changes: dict[str, Any], words: str, runware: LocalRunware, records: Records
) -> None:
    records.save_session(make_session(seconds=1))
    _, state = run(regenerate_scene, session_id="ad", scenario="hook", changes=changes)
    assert (state.is_failed(), words in (state.message or "")) == (True, True), state.message
    assert list(runware.ledger.entries) == []


@pytest.mark.parametrize("sent", [{"session_id": "ad"}, {"session_id": "ad", "scenarios": ["hook"]}])
def test_the_server_takes_what_callers_without_a_form_send(sent: dict[str, Any]) -> None:
    form = generate_ad.parameters.model_dump_for_openapi()
    validate(sent, form, raise_on_error=True, ignore_required=True)
