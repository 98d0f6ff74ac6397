"""Two processes change a record concurrently: no change is lost on any storage."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TypeVar

import pytest

from adreel.errors import NotFound
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.models.takes import AttemptState, Choices, Job
from adreel.purchase.jobs import end_job, open_scenes, record_failure, resume_job, start_job
from adreel.records import Records
from adreel.records.choosing import choose_take
from adreel.records.pruning import prunable, prune
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import NOW, make_session, make_take, save_choices, save_job, store_take

HOOK, CTA = Scenario.HOOK, Scenario.CTA
OpenRecords = Callable[[], Records]
T = TypeVar("T")


class Interleaved(Storage):
    """A storage that runs another process's change after the first read of a path.

    Where updates hold a lock, the other process waits for it, as it would outside of a test.
    """

    def interleave(self, path: str, other: Callable[[], object]) -> None:
        self._path, self._thread = path, Thread(target=other)
        self._pending = True

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        def between(content: bytes | None) -> bytes | None:
            if path == self._path and self._pending:
                self._pending = False
                self._thread.start()
                self._thread.join(0.2)
            return change(content)

        try:
            return super().update(path, between)
        finally:
            if path == self._path:
                self._thread.join()

    def read(self, path: str, most: int | None = None) -> bytes:
        content = super().read(path, most)
        if path == self._path and self._pending:
            self._pending = False
            self._thread.start()
            self._thread.join()
        return content


def interleaved(records: Records, path: str, other: Callable[[], object]) -> Records:
    """Return the records for a process whose first update of `path` races with another process's change."""
    storage = records.storage
    storage.__class__ = Interleaved
    assert isinstance(storage, Interleaved)
    storage.interleave(path, other)
    return records


def described(session: Session, scenario: Scenario, text: str) -> Session:
    scenes = [
        scene.model_copy(update={"visual_description": text}) if scene.scenario == scenario else scene
        for scene in session.scene_descriptions
    ]
    return session.model_copy(update={"scene_descriptions": scenes})


def test_two_people_choose_takes_of_two_scenes(open_records: OpenRecords) -> None:
    records = open_records()
    for scenario in (HOOK, CTA):
        for job_id in ("job-1", "job-2"):
            records.save_take(make_take(scenario=scenario, job_id=job_id))
    save_choices(records, "ad", Choices(takes={}))
    mine = interleaved(
        open_records(), "sessions/ad/current.json", lambda: choose_take(open_records(), "ad", CTA, "job-1")
    )
    choose_take(mine, "ad", HOOK, "job-1")
    assert records.choices("ad").takes == {HOOK: "job-1", CTA: "job-1"}


def test_two_servers_change_two_scenes(open_records: OpenRecords) -> None:
    records = open_records()
    records.save_session(make_session())
    mine = interleaved(
        open_records(),
        "sessions/ad/session.json",
        lambda: open_records().update_session("ad", lambda session: described(session, CTA, "theirs")),
    )
    mine.update_session("ad", lambda session: described(session, HOOK, "ours"))
    session = records.session("ad")
    assert session.scene(HOOK).visual_description == "ours"
    assert session.scene(CTA).visual_description == "theirs"


def test_two_servers_patch_two_scenes_by_their_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from adreel.models.api import ScenePatch
    from adreel.orchestration.runs import Runs
    from adreel.service import Service

    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    with temporary_settings(updates={PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        ours, theirs = (Service.of(Settings(), Runs()) for _ in range(2))
    theirs.records.save_session(make_session())

    def patch(service: Service, scenario: Scenario, text: str) -> None:
        service.change_scene("ad", scenario, ScenePatch(visual_description=text))

    interleaved(ours.records, "sessions/ad/session.json", lambda: patch(theirs, CTA, "theirs"))
    patch(ours, HOOK, "ours")
    session = theirs.records.session("ad")
    assert session.scene(HOOK).visual_description == "ours"
    assert session.scene(CTA).visual_description == "theirs"


def test_of_two_new_sessions_of_one_id_the_first_stays(open_records: OpenRecords) -> None:
    theirs = make_session(product_name="Theirs")
    mine = interleaved(open_records(), "sessions/ad/session.json", lambda: open_records().create_session(theirs))
    results = [mine.create_session(make_session(product_name="Ours")), open_records().create_session(theirs)]
    stands = open_records().session("ad")
    assert [created for _, created in results].count(True) + (stands.product_name == "Theirs") == 1
    assert {session.product_name for session, _ in results} == {stands.product_name}


def test_a_job_that_ends_while_it_is_started_again_stays_open(open_records: OpenRecords) -> None:
    records, settings = open_records(), Settings()
    records.save_session(make_session())
    job = start_job(records, settings, "job-1", "ad", scenarios=[HOOK])
    end_job(records, job)
    late = interleaved(
        open_records(),
        "jobs/job-1.json",
        lambda: start_job(open_records(), settings, "job-1", "ad", scenarios=[HOOK]),
    )
    end_job(late, job)
    end_job(open_records(), job)
    stored = records.job("job-1")
    assert stored is not None
    assert (stored.rounds, stored.ended_at) == (2, None)


def test_a_job_that_ends_while_a_scene_is_pruned_keeps_neither(open_records: OpenRecords, tmp_path: Path) -> None:
    records = open_records()
    records.save_session(make_session())
    take = store_take(records, make_take(), tmp_path)
    job = Job(job_id="job-1", session_id="ad", scenarios=[HOOK, CTA], created_at=NOW)
    save_job(records, job)
    mine = interleaved(open_records(), "jobs/job-1.json", lambda: prune(open_records(), take, keep_current=False))
    end_job(mine, job)
    stored = records.job("job-1")
    assert stored is not None
    assert stored.scenarios == [CTA]
    assert stored.ended_at is not None


def test_two_runners_that_start_an_ended_job_begin_one_round(open_records: OpenRecords) -> None:
    records, settings = open_records(), Settings()
    records.save_session(make_session())
    end_job(records, start_job(records, settings, "job-1", "ad", scenarios=[HOOK]))

    def start(records: Records) -> Job:
        return start_job(records, settings, "job-1", "ad", scenarios=[HOOK])

    mine = interleaved(open_records(), "jobs/job-1.json", lambda: start(open_records()))
    assert start(mine).rounds == 2
    stored = records.job("job-1")
    assert stored is not None
    assert stored.rounds == 2


def test_a_resume_does_not_bring_back_a_job_that_was_pruned(open_records: OpenRecords, tmp_path: Path) -> None:
    records = open_records()
    records.save_session(make_session())
    job = Job(job_id="job-1", session_id="ad", scenarios=[HOOK], created_at=NOW, ended_at=NOW)
    save_job(records, job)
    take = store_take(records, make_take(), tmp_path)
    assert prune(records, take, keep_current=False)
    with pytest.raises(NotFound, match="'job-1' was removed"):
        resume_job(records, Settings(), job)
    assert records.jobs() == []


def test_a_take_that_is_chosen_while_it_is_pruned_stays(open_records: OpenRecords, tmp_path: Path) -> None:
    records = open_records()
    records.save_session(make_session())
    for job_id, minute in (("job-1", 0), ("job-2", 5)):
        save_job(records, Job(job_id=job_id, session_id="ad", scenarios=[HOOK], created_at=NOW))
        store_take(records, make_take(job_id=job_id, minute=minute), tmp_path)
    [take] = prunable(records, NOW.replace(year=NOW.year + 1))
    choose_take(open_records(), "ad", HOOK, take.job_id)
    assert not prune(records, take)
    assert records.take("ad", HOOK, take.job_id) == take


def test_a_failed_take_that_is_taken_up_while_it_is_pruned_stays_with_its_job(open_records: OpenRecords) -> None:
    records = open_records()
    failed = make_take(AttemptState.FAILED)
    records.save_take(failed)
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=[HOOK], created_at=NOW))
    again = failed.model_copy(deep=True)
    again.plan_attempt(NOW)
    again.advance(AttemptState.SUBMITTED)
    records.save_take(again)
    assert not prune(records, failed)
    assert records.take("ad", HOOK, "job-1") == again
    assert [job.job_id for job, _ in open_scenes(records, Settings(), "all")] == ["job-1"]


def test_a_runner_does_not_write_a_pruned_take_anew(open_records: OpenRecords) -> None:
    records = open_records()
    failed = make_take(AttemptState.FAILED)
    records.save_take(failed)
    marked = records.mark_pruned(failed)
    assert marked is not None
    assert marked.pruned_at is not None
    marked = records.take("ad", HOOK, "job-1")
    assert marked is not None
    assert not marked.can_continue(9)
    records.remove_take(marked)
    with pytest.raises(NotFound, match="was removed meanwhile"):
        records.update_take(failed, lambda _: False, must_exist=True)
    assert records.take("ad", HOOK, "job-1") is None


def test_giving_up_does_not_undo_what_another_runner_wrote(open_records: OpenRecords) -> None:
    records = open_records()
    records.save_take(make_take(AttemptState.ACCEPTED))
    job = Job(job_id="job-1", session_id="ad", scenarios=[HOOK], created_at=NOW)
    renewed = make_take(AttemptState.ACCEPTED)
    renewed.attempts[-1].slot = renewed.attempts[-1].uuid
    mine = interleaved(
        open_records(),
        "sessions/ad/takes/hook/job-1.json",
        lambda: open_records().update_take(renewed, lambda _: False),
    )
    record_failure(mine, job, HOOK, NotFound("gone"))
    assert records.take("ad", HOOK, "job-1") == renewed


def test_an_error_of_a_change_is_raised_as_it_is(open_records: OpenRecords) -> None:
    records = open_records()
    records.save_session(make_session())

    def refuse(_session: Session) -> Session:
        raise ValueError("not this one")

    with pytest.raises(ValueError, match=r"^not this one$"):
        records.update_session("ad", refuse)
    with pytest.raises(NotFound, match="'other'"):
        records.update_session("other", lambda session: session)
