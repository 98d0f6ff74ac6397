"""The records: what is written comes back, newer fields survive, and what is damaged is named, never guessed at."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adreel.errors import BadRecord, InputError, NotFound
from adreel.models.migrations import SCHEMA_VERSION
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges
from adreel.models.takes import AttemptState, Choices, Job
from adreel.records import Records
from adreel.records.views import session_view
from adreel.storage import Storage
from tests.factories import NOW, make_session, make_take, save_choices, save_job

SESSION = "sessions/ad/session.json"
TAKE = "sessions/ad/takes/hook/job-1.json"
JOB = "jobs/job-1.json"
CHOICES = "sessions/ad/current.json"
PATHS = pytest.mark.parametrize("path", [SESSION, TAKE, JOB, CHOICES], ids=["session", "take", "job", "choices"])
BAD_IDS = pytest.mark.parametrize(
    "bad",
    ["", "..", "a/b", "/etc", "a.b", "a\n", "a" * 65],
    ids=["empty", "up", "slash", "root", "dot", "line", "long"],
)


def make_job(job_id: str = "job-1", minute: int = 0) -> Job:
    return Job(
        job_id=job_id,
        session_id="ad",
        scenarios=[Scenario.HOOK, Scenario.CTA],
        changes=SceneChanges(seed=7),
        created_at=NOW + timedelta(minutes=minute),
    )


def save_all(records: Records) -> None:
    records.save_session(make_session())
    records.save_take(make_take(problem="the storage was full"))
    save_job(records, make_job())
    save_choices(records, "ad", Choices(takes={Scenario.HOOK: "job-1"}))


def read(records: Records, path: str) -> object:
    readers: dict[str, Callable[[], object]] = {
        SESSION: lambda: records.session("ad"),
        TAKE: lambda: records.take("ad", Scenario.HOOK, "job-1"),
        JOB: lambda: records.job("job-1"),
        CHOICES: lambda: records.choices("ad"),
    }
    return readers[path]()


def rewrite(records: Records, path: str) -> None:
    """Read one record and save it again, as a run does."""
    writers: dict[str, Callable[[Any], None]] = {
        SESSION: records.save_session,
        TAKE: records.save_take,
        JOB: lambda job: save_job(records, job),
        CHOICES: lambda choices: save_choices(records, "ad", choices),
    }
    writers[path](read(records, path))


def change(storage: Storage, path: str, edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(storage.read(path))
    edit(data)
    storage.write(path, json.dumps(data).encode())
    return data


def test_what_is_saved_comes_back_as_it_was(records: Records) -> None:
    save_all(records)
    session = make_session()
    stored = records.session("ad")
    assert {name: getattr(stored, name) for name in type(session).model_fields} == dict(session)
    assert records.take("ad", Scenario.HOOK, "job-1") == make_take(problem="the storage was full")
    assert records.job("job-1") == make_job()
    assert records.choices("ad") == Choices(takes={Scenario.HOOK: "job-1"})


def test_records_lie_where_the_design_says(records: Records) -> None:
    save_all(records)
    for path in (SESSION, TAKE, JOB, CHOICES):
        assert json.loads(records.storage.read(path))["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize("state", [None, *AttemptState])
def test_a_take_in_any_state_comes_back_as_it_was(records: Records, state: AttemptState | None) -> None:
    take = make_take(state)
    records.save_take(take)
    assert records.take("ad", Scenario.HOOK, "job-1") == take


def test_what_was_never_recorded_is_told_apart_from_trouble(records: Records) -> None:
    assert records.take("ad", Scenario.HOOK, "job-1") is None
    assert records.job("job-1") is None
    assert records.choices("ad") == Choices(takes={})
    assert (records.takes("ad", Scenario.HOOK), records.jobs(), records.session_ids()) == ([], [], [])
    with pytest.raises(NotFound, match=r"'ad'.*adreel sessions"):
        records.session("ad")


@PATHS
def test_fields_of_a_newer_adreel_survive_a_rewrite(records: Records, path: str) -> None:
    def add(data: dict[str, Any]) -> None:
        data["from_the_future"] = {"a": [1, None]}

    save_all(records)
    written = change(records.storage, path, add)
    rewrite(records, path)
    assert json.loads(records.storage.read(path)) == written


def test_fields_of_a_newer_adreel_survive_a_rewrite_at_every_depth_of_a_take(records: Records) -> None:
    def add(data: dict[str, Any]) -> None:
        for inner in (data["scene"], data["request"], data["attempts"][0], data["clip"], data["problem"]):
            inner["from_the_future"] = {"a": 1}

    save_all(records)
    written = change(records.storage, TAKE, add)
    rewrite(records, TAKE)
    assert json.loads(records.storage.read(TAKE)) == written


def test_fields_of_a_newer_adreel_survive_a_rewrite_within_a_job_s_changes(records: Records) -> None:
    def add(data: dict[str, Any]) -> None:
        data["changes"]["from_the_future"] = 1

    save_all(records)
    written = change(records.storage, JOB, add)
    rewrite(records, JOB)
    assert json.loads(records.storage.read(JOB)) == written


def test_unknown_fields_of_a_session_survive_the_session_being_given_anew(records: Records) -> None:
    records.save_session(make_session())
    change(records.storage, SESSION, lambda data: data.update(from_the_future=1))
    records.save_session(make_session(product_name="Torch"))
    stored = json.loads(records.storage.read(SESSION))
    assert (stored["from_the_future"], stored["product_name"]) == (1, "Torch")


def test_an_ad_stays_in_its_campaign_until_another_stores_it(records: Records) -> None:
    records.save_session(make_session(), "spring")
    records.save_session(make_session(product_name="Torch"))
    records.update_session("ad", lambda session: session.model_copy(update={"product_name": "Lantern"}))
    assert records.session("ad").campaign == session_view(records, "ad").campaign == "spring"
    records.save_session(make_session(), "autumn")
    assert records.session("ad").campaign == "autumn"


@PATHS
def test_a_record_cut_off_at_any_byte_is_whole_or_named(records: Records, path: str) -> None:
    save_all(records)
    content, whole = records.storage.read(path), read(records, path)
    outcomes = []
    for length in range(len(content)):
        Path(records.storage.location(path)).write_bytes(content[:length])
        try:
            outcomes.append(read(records, path))
        except BadRecord as error:
            assert records.storage.location(path) in str(error)  # noqa: PT017 - both ends are good ones
    # Only the line's end may be missing.
    assert outcomes == [whole]


@PATHS
def test_a_record_of_a_newer_schema_is_refused_and_stays_as_it_is(records: Records, path: str) -> None:
    save_all(records)
    change(records.storage, path, lambda data: data.update(schema_version=SCHEMA_VERSION + 1))
    before = records.storage.read(path)
    with pytest.raises(BadRecord, match=rf"newer adreel \(schema {SCHEMA_VERSION + 1}\)") as caught:
        read(records, path)
    assert records.storage.location(path) in str(caught.value)
    assert records.storage.read(path) == before


def test_a_newer_record_whose_fields_have_changed_is_still_called_newer(records: Records) -> None:
    def renew(data: dict[str, Any]) -> None:
        data.update(schema_version=SCHEMA_VERSION + 1, attempts={"by": "uuid"})

    save_all(records)
    change(records.storage, TAKE, renew)
    with pytest.raises(BadRecord, match="newer adreel"):
        read(records, TAKE)


@BAD_IDS
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda records, bad: records.session(bad), id="session"),
        pytest.param(lambda records, bad: records.job(bad), id="job"),
        pytest.param(lambda records, bad: records.take(bad, Scenario.HOOK, "job"), id="take by session"),
        pytest.param(lambda records, bad: records.take("ad", Scenario.HOOK, bad), id="take by job"),
        pytest.param(lambda records, bad: records.takes(bad, Scenario.HOOK), id="takes"),
        pytest.param(lambda records, bad: records.choices(bad), id="choices"),
        pytest.param(lambda records, bad: save_choices(records, bad, Choices(takes={})), id="save choices"),
        pytest.param(lambda records, bad: records.save_take(make_take(session_id=bad)), id="save take by session"),
        pytest.param(lambda records, bad: records.save_take(make_take(job_id=bad)), id="save take by job"),
        pytest.param(lambda records, bad: save_job(records, make_job(bad)), id="save job"),
    ],
)
def test_an_id_is_checked_before_it_becomes_a_path(
    records: Records, act: Callable[[Records, str], object], bad: str
) -> None:
    with pytest.raises(InputError, match="is not usable"):
        act(records, bad)
    assert records.storage.names("") == []


def test_takes_come_oldest_first_and_of_one_scene_only(records: Records) -> None:
    for job_id, minute in (("b", 2), ("c", 1), ("a", 1)):
        records.save_take(make_take(job_id=job_id, minute=minute))
    records.save_take(make_take(job_id="other", scenario=Scenario.CTA))
    records.save_take(make_take(job_id="other", session_id="ad-2"))
    assert [take.job_id for take in records.takes("ad", Scenario.HOOK)] == ["a", "c", "b"]


def test_jobs_come_oldest_first(records: Records) -> None:
    for job_id, minute in (("b", 2), ("c", 1), ("a", 1)):
        save_job(records, make_job(job_id, minute))
    assert [job.job_id for job in records.jobs()] == ["a", "c", "b"]


def test_sessions_are_listed_by_name(records: Records) -> None:
    for name in ("lamp", "fern", "cap"):
        records.save_session(make_session(session_id=name))
    assert records.session_ids() == ["cap", "fern", "lamp"]


def test_strange_files_among_the_records_are_passed_over(records: Records) -> None:
    records.save_session(make_session())
    save_job(records, make_job("job-1"))
    records.save_take(make_take())
    for stray in ("jobs/notes.txt", "sessions/.DS_Store", "sessions/read me", "sessions/ad/takes/hook/x.bak"):
        records.storage.write(stray, b"not ours")
    assert [job.job_id for job in records.jobs()] == ["job-1"]
    assert records.session_ids() == ["ad"]
    assert [take.job_id for take in records.takes("ad", Scenario.HOOK)] == ["job-1"]
