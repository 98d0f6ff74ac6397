"""Records that are truncated, foreign or elsewhere: every reader names the file, no writer replaces it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adreel.errors import BadRecord, NotFound
from adreel.models.migrations import SCHEMA_VERSION
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Choices, Job, Take
from adreel.purchase.jobs import buy_scene, end_job, open_scenes, record_failure, resume_job, start_job
from adreel.records import Records
from adreel.records.choosing import choose_take
from adreel.records.verification import verify
from adreel.records.views import job_status, job_view, session_view
from adreel.settings import Settings
from tests.factories import NOW, make_session, make_take, save_choices, save_job
from tests.studio import studio

SESSION = "sessions/ad/session.json"
TAKE = "sessions/ad/takes/hook/job-1.json"
JOB = "jobs/job-1.json"
CHOICES = "sessions/ad/current.json"

BROKEN = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"text"',
    "object": b"{}",
    "of no version": b'{"takes": {}}',
    "of a strange version": b'{"schema_version": "1", "takes": {}}',
    "before the first version": b'{"schema_version": 0, "takes": {}}',
    "version only": b'{"schema_version": 1}',
    "newer": json.dumps({"schema_version": SCHEMA_VERSION + 1, "takes": {}}).encode(),
    "zeros": b"\x00" * 64,
    "not text": b"\xff\xfe",
    "HTML": b"<html>",
    "NaN": b'{"schema_version": NaN}',
    "deep": b"[" * 500 + b"]" * 500,
}
TELLING = {
    "torn": b'{"schema_version": 1, "session_id": "ad", "scen',
    "foreign": b"{}",
    "newer": BROKEN["newer"],
    "folder": None,
}
any_broken = pytest.mark.parametrize("content", [*BROKEN.values(), None], ids=[*BROKEN, "folder"])
broken = pytest.mark.parametrize("content", TELLING.values(), ids=TELLING)


def a_job(job_id: str = "job-1", session_id: str = "ad", *scenarios: Scenario) -> Job:
    return Job(job_id=job_id, session_id=session_id, scenarios=list(scenarios or [Scenario.HOOK]), created_at=NOW)


def save_all(records: Records, session_id: str = "ad", job_id: str = "job-1") -> None:
    """Save a session with a chosen take, all of it stored."""
    records.save_session(make_session(session_id=session_id))
    save_job(records, a_job(job_id, session_id))
    records.save_take(make_take(session_id=session_id, job_id=job_id))
    save_choices(records, session_id, Choices(takes={Scenario.HOOK: job_id}))


def put(records: Records, path: str, content: bytes | None) -> Path:
    """Put content, or a folder, in the place of a record."""
    place = Path(records.storage.location(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if content is None:
        (place / "inside").mkdir(parents=True)
    else:
        place.write_bytes(content)
    return place


def state_of(place: Path) -> bytes | list[Path]:
    return list(place.iterdir()) if place.is_dir() else place.read_bytes()


def tear(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:200])


def move_away(place: Path) -> None:
    place.rename(place.with_suffix(".torn"))


@pytest.fixture
def settings(records: Records) -> Settings:
    options = {"ADREEL_STORAGE": records.storage.url, "ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "64x64"}
    return Settings(**options)  # type: ignore[arg-type]


Act = Callable[[Records, Settings], object]
READERS: dict[str, list[tuple[str, Act]]] = {
    SESSION: [
        ("session", lambda records, _: records.session("ad")),
        ("view of the session", lambda records, _: session_view(records, "ad")),
        ("start", lambda records, settings: start_job(records, settings, "new", "ad", scenarios=[Scenario.HOOK])),
    ],
    JOB: [
        ("job", lambda records, _: records.job("job-1")),
        ("jobs", lambda records, _: records.jobs()),
        ("status", lambda records, _: job_status(records, "job-1")),
        ("view of the job", lambda records, _: job_view(records, "job-1")),
        ("resume the job", lambda records, settings: open_scenes(records, settings, "job-1")),
        ("resume all", lambda records, settings: open_scenes(records, settings, "all")),
        ("resume the session", lambda records, settings: open_scenes(records, settings, "ad")),
    ],
    TAKE: [
        ("take", lambda records, _: records.take("ad", Scenario.HOOK, "job-1")),
        ("takes", lambda records, _: records.takes("ad", Scenario.HOOK)),
        ("status", lambda records, _: job_status(records, "job-1")),
        ("view of the session", lambda records, _: session_view(records, "ad")),
        ("choose", lambda records, _: choose_take(records, "ad", Scenario.HOOK, "job-1")),
        ("resume the job", lambda records, settings: open_scenes(records, settings, "job-1")),
    ],
    CHOICES: [
        ("choices", lambda records, _: records.choices("ad")),
        ("view of the session", lambda records, _: session_view(records, "ad")),
    ],
}
WRITERS: dict[str, list[tuple[str, Act]]] = {
    SESSION: [("save", lambda records, _: records.save_session(make_session()))],
    JOB: [
        ("save", lambda records, _: save_job(records, a_job())),
        ("start", lambda records, settings: start_job(records, settings, "job-1", "ad", scenarios=[Scenario.HOOK])),
        ("resume", lambda records, settings: resume_job(records, settings, a_job())),
        ("end", lambda records, _: end_job(records, a_job())),
    ],
    TAKE: [
        ("save", lambda records, _: records.save_take(make_take())),
        ("start", lambda records, settings: start_job(records, settings, "job-1", "ad")),
        ("resume", lambda records, settings: resume_job(records, settings, a_job())),
        ("give up", lambda records, _: record_failure(records, a_job(), Scenario.HOOK, NotFound("gone"))),
    ],
    CHOICES: [
        ("save", lambda records, _: save_choices(records, "ad", Choices(takes={}))),
        ("choose", lambda records, _: choose_take(records, "ad", Scenario.HOOK, "job-1")),
    ],
}


def acts(table: dict[str, list[tuple[str, Act]]]) -> pytest.MarkDecorator:
    rows = [pytest.param(path, act, id=f"{name}, {path.split('/')[-1]}") for path in table for name, act in table[path]]
    return pytest.mark.parametrize(("path", "act"), rows)


@any_broken
@pytest.mark.parametrize("path", READERS)
def test_whatever_lies_in_the_place_of_a_record_is_named_and_stays(
    records: Records, settings: Settings, path: str, content: bytes | None
) -> None:
    save_all(records)
    place = put(records, path, content)
    before = state_of(place)
    for _, act in (READERS[path][0], WRITERS[path][0]):
        with pytest.raises(BadRecord, match=r"is not a valid record|newer adreel") as caught:
            act(records, settings)
        assert str(place) in str(caught.value)
    assert state_of(place) == before


@broken
@acts(READERS)
def test_every_reader_names_a_broken_file(
    records: Records, settings: Settings, path: str, act: Act, content: bytes | None
) -> None:
    save_all(records)
    place = put(records, path, content)
    with pytest.raises(BadRecord) as caught:
        act(records, settings)
    assert str(place) in str(caught.value)


@broken
@acts(WRITERS)
def test_no_writer_replaces_a_broken_file(
    records: Records, settings: Settings, path: str, act: Act, content: bytes | None
) -> None:
    save_all(records)
    place = put(records, path, content)
    before = state_of(place)
    with pytest.raises(BadRecord) as caught:
        act(records, settings)
    assert str(place) in str(caught.value)
    assert state_of(place) == before


@broken
@pytest.mark.parametrize("path", READERS)
def test_verify_names_a_broken_file_and_goes_on(records: Records, path: str, content: bytes | None) -> None:
    save_all(records)
    save_job(records, a_job("job-2"))
    place = put(records, "jobs/job-2.json", b"")
    other = put(records, path, content)
    found = {finding.path: finding.message for finding in verify(records) if finding.kind == "unreadable"}
    assert str(place) in found["jobs/job-2.json"]
    assert str(other) in found[path]


@pytest.mark.parametrize(
    ("source", "path"),
    [
        pytest.param(TAKE, "sessions/ad/takes/hook/job-2.json", id="take of another job"),
        pytest.param(TAKE, "sessions/ad/takes/cta/job-1.json", id="take of another scene"),
        pytest.param(TAKE, "sessions/ad-2/takes/hook/job-1.json", id="take of another session"),
        pytest.param(JOB, "jobs/job-2.json", id="another job"),
        pytest.param(SESSION, "sessions/ad-2/session.json", id="another session"),
        *(
            pytest.param(source, path, id=f"{source.split('/')[-1]} as {path.split('/')[-1]}")
            for source in READERS
            for path in READERS
            if source != path
        ),
    ],
)
def test_a_record_in_the_place_of_another_is_named_and_stays(records: Records, source: str, path: str) -> None:
    save_all(records)
    content = records.storage.read(source)
    place = put(records, path, content)
    [finding] = [finding for finding in verify(records) if finding.path == path]
    assert finding.kind == "unreadable"
    assert str(place) in finding.message
    with pytest.raises(BadRecord):
        _save_at(records, path)
    assert place.read_bytes() == content


def _save_at(records: Records, path: str) -> None:
    folder, *rest, name = path.removesuffix(".json").split("/")
    if folder == "jobs":
        save_job(records, a_job(name))
    elif name == "session":
        records.save_session(make_session(session_id=rest[0]))
    elif name == "current":
        save_choices(records, rest[0], Choices(takes={}))
    else:
        records.save_take(make_take(session_id=rest[0], scenario=Scenario(rest[2]), job_id=name))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session_id", "../../etc"),
        ("scenarios", []),
        ("created_at", "2026-11-23T12:00:00"),
        ("created_at", 10**400),
        ("rounds", 0),
    ],
    ids=["leads out of its folder", "no scene", "no time zone", "no time", "no round"],
)
def test_a_job_that_no_adreel_has_written_is_named(records: Records, field: str, value: object) -> None:
    save_all(records)
    data = json.loads(records.storage.read(JOB))
    put(records, JOB, json.dumps({**data, field: value}).encode())
    with pytest.raises(BadRecord, match=field):
        records.jobs()


async def test_a_torn_take_that_is_moved_away_is_brought_home_without_buying_again() -> None:
    async with studio(render_seconds=0) as it:
        job = it.start(Scenario.HOOK)

        def die(take: Take, _text: str) -> None:
            if take.attempts[-1].state == AttemptState.ACCEPTED:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await buy_scene(it.records, it.settings, job, Scenario.HOOK, report=die)
        place = Path(it.records.storage.location(TAKE))
        tear(place)
        with pytest.raises(BadRecord, match="move it away"):
            await it.produce()
        move_away(place)
        assert (await it.produce()).is_stored
        assert len(it.bought) == 1
