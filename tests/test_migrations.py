"""Schema versions: every record that any adreel has written stays readable, and is rewritten only by its owner."""

import json
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from adreel.errors import BadRecord
from adreel.models import migrations
from adreel.models.api import State
from adreel.models.migrations import MIGRATIONS, SCHEMA_VERSION, Fields, Migration
from adreel.models.parts import STILLS, VOICES, Addition, find_part
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Take
from adreel.records import Records
from adreel.records.views import session_view, words_of
from adreel.storage import Storage
from tests.factories import make_take, save_choices, save_job

FIXTURES = Path(__file__).parent / "fixtures" / "records"
FILES = sorted(FIXTURES.glob("*/**/*.json"))
TAKE = "sessions/ad/takes/hook/job-1.json"


def lacking(version: int, steps: Sequence[Migration], fixtures: Path) -> list[str]:
    """Tell what a schema version still needs before it may be released."""
    missing = [
        f"adreel/models/migrations.py: MIGRATIONS has no step from schema {number} to {number + 1}"
        for number in range(len(steps) + 1, version)
    ]
    for number in range(1, version + 1):
        folder = fixtures / f"v{number}"
        kinds = {"session.json", "current.json", "jobs/*.json", "takes/*/*.json"}
        # The first version had no cuts, no shares, no reviews and no campaigns.
        kinds |= {"cuts/*.json", "shares/*.json", "reviews/*.json", "campaigns/*.json"} if number > 1 else set()
        missing += [
            f"tests/fixtures/records/v{number} has no {kind}" for kind in sorted(kinds) if not any(folder.rglob(kind))
        ]
    return missing


def test_every_schema_version_has_its_migration_and_its_fixtures() -> None:
    assert lacking(SCHEMA_VERSION, MIGRATIONS, FIXTURES) == []
    assert len(MIGRATIONS) == SCHEMA_VERSION - 1, (
        "SCHEMA_VERSION in adreel/models/migrations.py is one more than MIGRATIONS"
    )


def test_a_schema_version_that_was_only_raised_is_told_what_it_lacks() -> None:
    told = lacking(SCHEMA_VERSION + 1, MIGRATIONS, FIXTURES)
    assert (
        f"adreel/models/migrations.py: MIGRATIONS has no step from schema {SCHEMA_VERSION} to {SCHEMA_VERSION + 1}"
        in told
    )
    assert f"tests/fixtures/records/v{SCHEMA_VERSION + 1} has no takes/*/*.json" in told


@pytest.mark.parametrize("folder", sorted(FIXTURES.iterdir()), ids=lambda folder: folder.name)
def test_the_fixtures_of_a_version_have_a_take_in_every_state(folder: Path) -> None:
    takes = [json.loads(path.read_text()) for path in folder.glob("sessions/*/takes/*/*.json")]
    states = {attempt["state"] for take in takes for attempt in take["attempts"]}
    assert states == set(AttemptState)
    assert any(not take["attempts"] for take in takes)


def in_storage(file: Path, storage: Storage) -> str:
    """Copy the fixtures of a version into a storage and return where one of them lies there."""
    root = FIXTURES / file.relative_to(FIXTURES).parts[0]
    shutil.copytree(root, storage.root)
    return str(file.relative_to(root))


def read(records: Records, path: str) -> Any:
    folder, *rest, name = path.removesuffix(".json").split("/")
    if folder in {"jobs", "campaigns"}:
        return (records.job if folder == "jobs" else records.campaign)(name)
    if name == "session":
        return records.session(rest[0])
    if rest[1:] == ["cuts"]:
        return records.cut(rest[0], name)
    if rest[1:] == ["shares"]:
        return records.share(rest[0], name)
    if rest[1:] == ["reviews"]:
        return records.review(rest[0], name)
    return records.choices(rest[0]) if name == "current" else records.take(rest[0], find_part(rest[2]), name)


def save(records: Records, path: str, record: Any) -> None:
    if path.startswith("jobs/"):
        save_job(records, record)
    elif path.startswith("campaigns/"):
        records.update_campaign(record.name, lambda _: record)
    elif path.endswith("session.json"):
        records.save_session(record)
    elif path.endswith("current.json"):
        save_choices(records, path.split("/")[1], record)
    elif "/cuts/" in path:
        records.save_cut(record, records.cut(record.session_id, record.cut_id))
    elif "/shares/" in path:
        records.update_share(record.session_id, record.share_id, lambda _: record)
    elif "/reviews/" in path:
        # A review is never written again.
        records.storage.remove(path)
        records.add_review(record)
    else:
        records.save_take(record)


def with_unknown_fields(value: Any, inside: str = "") -> Any:
    if isinstance(value, list):
        return [with_unknown_fields(each) for each in value]
    if not isinstance(value, dict):
        return value
    unknown = {} if inside in {"takes", "senders", "stored"} else {"from_the_future": {"a": [1, None, "ä"]}}
    return {**{name: with_unknown_fields(each, name) for name, each in value.items()}, **unknown}


def unknown_fields(value: Any) -> int:
    """Count the unknown fields that are whole."""
    if isinstance(value, list):
        return sum(unknown_fields(each) for each in value)
    if not isinstance(value, dict):
        return 0
    here = value.get("from_the_future") == {"a": [1, None, "ä"]}
    return here + sum(unknown_fields(each) for each in value.values())


def lost(before: Any, after: Any, place: str = "") -> list[str]:
    """Tell what is gone or different; times may be written otherwise, and there may be more than before."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [where for name in before for where in lost(before[name], after.get(name, "gone"), f"{place}/{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [where for each, other in zip(before, after, strict=True) for where in lost(each, other, f"{place}[]")]
    if place.endswith("_at") and isinstance(before, str):
        return [] if datetime.fromisoformat(before) == datetime.fromisoformat(after) else [place]
    return [] if before == after else [place]


files = pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.relative_to(FIXTURES).parts))


@files
def test_a_record_of_any_version_is_read_and_reads_the_same_once_it_is_rewritten(file: Path, records: Records) -> None:
    path = in_storage(file, records.storage)
    first = read(records, path)
    assert first is not None
    assert records.storage.read(path) == file.read_bytes(), "reading changes nothing"
    save(records, path, first)
    assert read(records, path) == first
    written = json.loads(records.storage.read(path))
    assert written["schema_version"] == SCHEMA_VERSION
    if (before := json.loads(file.read_bytes()))["schema_version"] == SCHEMA_VERSION:
        assert lost(before, written) == []


@files
def test_a_record_of_any_version_keeps_its_unknown_fields_at_every_level(file: Path, records: Records) -> None:
    path = in_storage(file, records.storage)
    data = with_unknown_fields(json.loads(file.read_bytes()))
    records.storage.write(path, json.dumps(data).encode())
    save(records, path, read(records, path))
    assert unknown_fields(json.loads(records.storage.read(path))) == unknown_fields(data) > 0


def test_stored_narrations_music_and_stills_are_those_of_their_ad(records: Records) -> None:
    shutil.copytree(FIXTURES / "v2", records.storage.root)
    view = session_view(records, "lantern")
    spoken = [VOICES[each] for each in (Scenario.HOOK, Scenario.PROBLEM, Scenario.CTA)]
    assert [video.scenario for video in view.additions] == [*spoken, Addition.MUSIC, STILLS[Scenario.HOOK]]
    assert (view.state, view.cost) == (State.COMPLETED, 0.08868)
    [cut] = records.cuts("lantern")
    assert [addition.part for addition in cut.additions] == [*spoken, Addition.MUSIC]
    narrations = records.takes("lantern", VOICES[Scenario.HOOK])
    assert [words_of(take) for take in narrations] == ["It is dark.", "It is very dark.", "It is dark."]
    assert all(take.clip and take.clip.loudness and not take.clip.width for take in narrations)


def split_size(take: Fields) -> Fields:
    width, height = take["request"]["size"].split("x")
    request = {name: value for name, value in take["request"].items() if name != "size"}
    return {**take, "request": {**request, "width": int(width), "height": int(height)}}


def name_problem(take: Fields) -> Fields:
    problem = take["problem"] and {"code": "unknown", "message": take["problem"]}
    return {**take, "problem": problem}


@pytest.fixture
def two_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that today's schema is 3: sizes were one text in 1, problems were bare texts in 1 and 2."""
    monkeypatch.setattr(migrations, "MIGRATIONS", ({"take": split_size}, {"take": name_problem}))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", 3)


def old_take(version: int) -> dict[str, Any]:
    data = json.loads(make_take(problem="the storage was full").model_dump_json())
    data["schema_version"] = version
    for attempt in data["attempts"]:
        del attempt["senders"]  # Its keys are marks, not fields, and these versions do not have it.
    if version < 2:
        size = f"{data['request'].pop('width')}x{data['request'].pop('height')}"
        data["request"]["size"] = size
    if version < 3:
        data["problem"] = data["problem"]["message"]
    return with_unknown_fields(data)  # type: ignore[no-any-return]


@pytest.mark.usefixtures("two_migrations")
@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_record_takes_every_step_from_its_own_version_on(records: Records, version: int) -> None:
    content = json.dumps(old_take(version)).encode()
    records.storage.write(TAKE, content)
    take = records.take("ad", Scenario.HOOK, "job-1")
    assert isinstance(take, Take)
    assert (take.request.width, take.request.height, take.schema_version) == (64, 48, 3)
    assert take.problem is not None
    assert take.problem.message == "the storage was full"
    assert records.storage.read(TAKE) == content, "reading writes nothing"
    records.save_take(take)
    written = json.loads(records.storage.read(TAKE))
    assert written["schema_version"] == 3
    assert (written["request"]["width"], written["problem"]["message"]) == (64, "the storage was full")
    assert unknown_fields(written["request"]) == unknown_fields(json.loads(content)["request"]) > 0


@pytest.mark.usefixtures("two_migrations")
def test_a_kind_of_record_that_no_step_names_keeps_its_shape(records: Records) -> None:
    [file] = (FIXTURES / "v1/jobs").glob("3097*.json")
    path = in_storage(file, records.storage)
    job = read(records, path)
    assert (job.schema_version, job.session_id) == (3, "glowcap")


@pytest.mark.usefixtures("two_migrations")
@pytest.mark.parametrize("request_", [{}, None, [], "1280x720", {"size": 7}, {"size": "wide"}], ids=str)
def test_an_old_record_that_its_migration_can_t_make_sense_of_is_named(records: Records, request_: object) -> None:
    records.storage.write(TAKE, json.dumps({**old_take(1), "request": request_}).encode())
    with pytest.raises(BadRecord, match="is not a valid record") as caught:
        records.take("ad", Scenario.HOOK, "job-1")
    assert records.storage.location(TAKE) in str(caught.value)


@pytest.mark.usefixtures("two_migrations")
def test_a_record_beyond_the_last_step_is_newer(records: Records) -> None:
    records.storage.write(TAKE, json.dumps(old_take(4)).encode())
    with pytest.raises(BadRecord, match=r"newer adreel \(schema 4\)"):
        records.take("ad", Scenario.HOOK, "job-1")
