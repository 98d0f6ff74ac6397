"""One broken record keeps nobody from what lies beside it: lists and resumes name it, go on, and end with 1."""

from pathlib import Path

import pytest

from adreel.errors import AdreelError, NotFound
from adreel.index import SessionIndex, SessionQuery
from adreel.models.api import SessionSummary
from adreel.models.takes import AttemptState
from adreel.purchase.jobs import open_scenes
from adreel.records import Records
from adreel.settings import Settings
from tests.factories import make_session, make_take, save_job
from tests.test_broken_records import CHOICES, JOB, SESSION, TAKE, a_job, put, save_all
from tests.test_cli import adreel


@pytest.fixture
def settings(records: Records) -> Settings:
    options = {"ADREEL_STORAGE": records.storage.url, "ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "64x64"}
    return Settings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [JOB, TAKE], ids=["job", "take"])
@pytest.mark.parametrize("target", ["all", "ad"])
def test_a_resume_serves_the_jobs_beside_a_broken_one_and_names_it(
    records: Records, settings: Settings, path: str, target: str
) -> None:
    save_all(records)
    for job_id in ("job-2", "job-3"):
        save_job(records, a_job(job_id))
        records.save_take(make_take(AttemptState.ACCEPTED, job_id=job_id))
    place = put(records, path, b"{")
    broken: list[AdreelError] = []
    assert [job.job_id for job, _ in open_scenes(records, settings, target, broken)] == ["job-2", "job-3"]
    assert [str(place) in str(error) for error in broken] == [True]


def test_a_job_whose_missing_take_can_t_be_planned_keeps_no_other_from_being_resumed(
    records: Records, settings: Settings
) -> None:
    save_all(records)
    save_job(records, a_job("job-2", "gone"))
    save_job(records, a_job("job-3"))
    records.save_take(make_take(AttemptState.ACCEPTED, job_id="job-3"))
    broken: list[AdreelError] = []
    assert [job.job_id for job, _ in open_scenes(records, settings, "all", broken)] == ["job-3"]
    assert ["'gone'" in str(error) for error in broken] == [True]
    with pytest.raises(NotFound, match="gone"):
        open_scenes(records, settings, "all")


def test_a_session_whose_only_job_can_t_be_read_is_not_called_unknown(records: Records, settings: Settings) -> None:
    place = put(records, JOB, b"")
    broken: list[AdreelError] = []
    assert open_scenes(records, settings, "ad", broken) == []
    assert str(place) in str(broken[0])


@pytest.mark.parametrize("path", [SESSION, TAKE, CHOICES], ids=["session", "take", "choices"])
def test_the_list_of_sessions_names_a_broken_record_and_shows_the_others(records: Records, path: str) -> None:
    save_all(records)
    save_all(records, "lamp", "job-2")
    place = put(records, path, b"{")
    views, broken = listed(records)
    assert [view.session_id for view in views] == ["lamp"]
    assert [str(place) in error for error in broken] == [True]


def test_a_folder_without_a_session_is_named_in_the_list_of_sessions(records: Records) -> None:
    save_all(records)
    records.save_take(make_take(session_id="lamp"))
    views, broken = listed(records)
    assert [view.session_id for view in views] == ["ad"]
    assert records.storage.location("sessions/lamp") in broken[0]


def listed(records: Records) -> tuple[list[SessionSummary], list[str]]:
    """Return the sessions of a new index, and why others can't be read."""
    index = SessionIndex(records)
    index.update()
    page = index.page(SessionQuery(limit=0))
    return page.sessions, page.unreadable


@pytest.mark.parametrize(
    ("words", "path", "shown"),
    [
        (["sessions"], TAKE, "lamp"),
        (["sessions", "--json"], SESSION, '"session_id": "lamp"'),
        (["status", "ad"], TAKE, ""),
        (["status", "job-1"], JOB, ""),
        (["takes", "ad"], TAKE, ""),
        (["resume", "job-1"], JOB, ""),
        (["resume", "--all"], JOB, "nothing is open"),
        (["resume", "--all", "--json"], TAKE, "[]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_names_the_broken_record_and_ends_with_1(
    records: Records, words: list[str], path: str, shown: str
) -> None:
    save_all(records)
    save_all(records, "lamp", "job-2")
    place = put(records, path, b"{")
    ran = adreel(*words)
    assert ran.returncode == 1
    assert f"adreel: {place} is not a valid record" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert shown in ran.stdout


def test_generate_does_not_replace_a_session_that_it_can_t_read(records: Records, tmp_path: Path) -> None:
    place = put(records, SESSION, b'{"session_id": "ad", "product_')
    (tmp_path / "ad.json").write_text(make_session().model_dump_json(exclude_none=True))
    ran = adreel("generate", "ad.json")
    assert ran.returncode == 1
    assert str(place) in ran.stderr
    assert place.read_bytes() == b'{"session_id": "ad", "product_'
    assert not (tmp_path / "outputs/jobs").exists()
