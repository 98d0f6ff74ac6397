"""Properties of the records: any content is a value or an error that names its file, and what is good comes back."""

import json
from collections.abc import Callable
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from adreel.errors import AdreelError, BadRecord
from adreel.index.reading import read_session
from adreel.models import migrations
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Choices, Job
from adreel.purchase.jobs import open_scenes
from adreel.records import Records, StoredSession
from adreel.records.verification import verify
from adreel.records.views import job_status, job_view, session_view
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import NOW, make_session, make_take
from tests.test_migrations import lost, name_problem, read, save, split_size

URL = "memory://record-properties"
TAKE = "sessions/ad/takes/hook/job-1.json"
JOB = "jobs/job-1.json"
GOOD: dict[str, BaseModel] = {
    "sessions/ad/session.json": StoredSession(**make_session().model_dump()),
    "sessions/ad/current.json": Choices(takes={Scenario.HOOK: "job-1"}),
    JOB: Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW),
    TAKE: make_take(problem="the storage was full"),
}
# Another take and its job: what is broken must not meet a good neighbour with an exception, when they are sorted.
NEIGHBOURS: dict[str, BaseModel] = {
    "jobs/job-2.json": Job(job_id="job-2", session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW),
    "sessions/ad/takes/hook/job-2.json": make_take(AttemptState.ACCEPTED, job_id="job-2"),
}
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
paths = st.sampled_from(sorted(GOOD))

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8) | st.just("2026-11-23T12:00:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def stored(path: str, content: bytes) -> Records:
    """Return a storage in memory where all is well, but for one file."""
    records = Records(Storage(URL))
    for each, record in (GOOD | NEIGHBOURS).items():
        records.storage.write(each, record.model_dump_json().encode())
    records.storage.write(path, content)
    return records


def check_value_or_error(records: Records, path: str, content: bytes) -> None:
    try:
        read(records, path)
    except BadRecord as error:
        assert records.storage.location(path) in str(error)  # noqa: PT017 - both ends are good ones
        with pytest.raises(BadRecord):
            save(records, path, GOOD[path])
        assert records.storage.read(path) == content


@quick
@given(paths, st.binary(max_size=200))
@example(TAKE, b"")
def test_any_bytes_are_a_record_or_an_error_that_names_them(path: str, content: bytes) -> None:
    check_value_or_error(stored(path, content), path, content)


@quick
@given(paths, values | st.dictionaries(st.sampled_from(["schema_version", "takes", "session_id"]), values))
def test_any_json_is_a_record_or_an_error_that_names_it(path: str, value: Any) -> None:
    content = json.dumps(value).encode()
    check_value_or_error(stored(path, content), path, content)


@st.composite
def nearly_good(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good record in which something has been changed for anything else, taken out or put in."""
    path = draw(paths)
    data = json.loads(GOOD[path].model_dump_json())
    for _ in range(draw(st.integers(1, 2))):
        place, key = draw(st.sampled_from(_places(data)))
        if draw(st.booleans()):
            place[key] = draw(values)
        else:
            del place[key]
        if not _places(data):
            break
    return path, json.dumps(data).encode()


def _places(data: Any) -> list[tuple[Any, Any]]:
    inside = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    return [(data, key) for key, _ in inside] + [place for _, each in inside for place in _places(each)]


READERS: list[Callable[[Records], object]] = [
    lambda records: session_view(records, "ad"),
    lambda records: job_view(records, "job-1"),
    lambda records: job_status(records, "job-1"),
    lambda records: records.jobs(),
    lambda records: records.takes("ad", Scenario.HOOK),
    lambda records: open_scenes(records, Settings(), "all"),
]


@quick
@given(nearly_good())
def test_a_record_that_is_nearly_good_surprises_no_reader(broken: tuple[str, bytes]) -> None:
    path, content = broken
    records = stored(path, content)
    check_value_or_error(records, path, content)
    records = stored(path, content)
    where = records.storage.location(path)
    for reader in READERS:
        try:
            reader(records)
        except AdreelError as error:
            assert where in str(error) or not isinstance(error, BadRecord)  # noqa: PT017 - both ends are good ones
    for session_id in records.session_ids():
        row = read_session(records, session_id)
        assert bool(row.summary) != bool(row.error)
    verify(records)
    found: list[AdreelError] = []
    assert "job-2" in [job.job_id for job, _ in open_scenes(records, Settings(), "all", found)]


@quick
@given(values | st.fixed_dictionaries({"schema_version": st.just(1), "request": values, "problem": values}))
def test_any_json_of_an_old_version_is_a_record_or_an_error(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", ({"take": split_size}, {"take": name_problem}))
        patch.setattr(migrations, "SCHEMA_VERSION", 3)
        content = json.dumps(value).encode()
        check_value_or_error(stored(TAKE, content), TAKE, content)


def fields(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these fields, and with others that nobody knows yet."""
    unknown = st.dictionaries(st.text(max_size=8), values, max_size=2)
    return st.builds(lambda more, ours: {**more, **ours}, unknown, st.fixed_dictionaries(known))


words = st.text(max_size=20)
line = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=20)
amounts = st.none() | st.floats(0, 1e6)
whole = st.none() | st.integers(0, 2**63)
zones = st.just(UTC) | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(timezones=zones).map(lambda moment: moment.isoformat())
problems = st.none() | fields(code=words, message=words, retryable=st.booleans())
scenes = fields(
    scenario=st.just("hook"),
    duration=st.floats(0.1, 60),
    visual_description=line,
    camera_work=line,
    seed=st.none() | st.integers(1, 2**31 - 1),
    size=st.none() | st.just("1280x720"),
)
attempts = fields(
    uuid=st.uuids().map(str),
    state=st.sampled_from([str(state) for state in AttemptState]),
    created_at=moments,
    url=st.none() | words,
    cost=amounts,
    seed=whole,
    problem=problems,
)
clips = fields(
    file=words,
    poster=words,
    sha256=words,
    size=st.integers(0, 2**40),
    duration=st.floats(0, 60),
    width=st.integers(1, 4096),
    height=st.integers(1, 4096),
)
requests = fields(
    model=words,
    prompt=words,
    duration=st.floats(0, 60),
    width=st.integers(1, 4096),
    height=st.integers(1, 4096),
    seed=whole,
    first_frame=st.none() | words,
)
version = st.just(migrations.SCHEMA_VERSION)
good_records = st.one_of(
    st.tuples(
        st.just(TAKE),
        fields(
            schema_version=version,
            session_id=st.just("ad"),
            scenario=st.just("hook"),
            job_id=st.just("job-1"),
            created_at=moments,
            updated_at=moments,
            scene=scenes,
            request=requests,
            attempts=st.lists(attempts, max_size=2),
            progress=st.integers(0, 100),
            problem=problems,
            clip=st.none() | clips,
        ),
    ),
    st.tuples(
        st.just(JOB),
        fields(
            schema_version=version,
            job_id=st.just("job-1"),
            session_id=st.just("ad"),
            scenarios=st.lists(st.sampled_from([str(scenario) for scenario in Scenario]), min_size=1),
            changes=st.none() | fields(seed=st.none() | st.integers(1, 2**31 - 1), camera_work=st.none() | line),
            created_at=moments,
            rounds=st.integers(1, 9),
            ended_at=st.none() | moments,
        ),
    ),
    st.tuples(
        st.just("sessions/ad/session.json"),
        fields(
            schema_version=version,
            session_id=st.just("ad"),
            product_name=line,
            brand_colors=st.lists(line, max_size=2),
            scene_descriptions=st.lists(scenes, min_size=1, max_size=1),
        ),
    ),
    st.tuples(
        st.just("sessions/ad/current.json"),
        fields(schema_version=version, takes=st.dictionaries(st.sampled_from([str(each) for each in Scenario]), words)),
    ),
)


@quick
@given(good_records)
def test_a_good_record_comes_back_as_it_was_with_the_fields_that_nobody_knows(good: tuple[str, dict[str, Any]]) -> None:
    path, data = good
    records = stored(path, json.dumps(data).encode())
    first = read(records, path)
    save(records, path, first)
    assert read(records, path) == first
    assert lost(data, json.loads(records.storage.read(path))) == []
