"""Takes of a scene are in the order of their planning, independent of the clocks of machines."""

from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.records.choosing import choose_take
from adreel.records.views import session_view
from adreel.settings import Settings
from tests.factories import NOW, make_session, make_take, store_take

HOOK = Scenario.HOOK
OFF = pytest.mark.parametrize("hours", [-1, 0, 1], ids=["an hour slow", "right", "an hour fast"])


class Worker:
    """A machine that buys takes, with a clock of its own."""

    def __init__(self, records: Records, folder: Path, hours: float = 0) -> None:
        self._records, self._folder, self._now = records, folder, NOW + timedelta(hours=hours)

    def plan(self, job_id: str) -> None:
        self._now += timedelta(minutes=1)
        with patch("adreel.purchase.jobs.utc_now", lambda: self._now):
            start_job(self._records, Settings(), job_id, "ad", scenarios=[HOOK])

    def buy(self, job_id: str) -> None:
        if self._records.take("ad", HOOK, job_id) is None:
            self.plan(job_id)
        take = self._records.take("ad", HOOK, job_id)
        assert take is not None
        take.plan_attempt(self._now)
        take.advance(AttemptState.STORED)
        take.clip = make_take(job_id=job_id).clip
        store_take(self._records, take, self._folder)


@pytest.fixture
def session(records: Records) -> Records:
    records.save_session(make_session())
    return records


@OFF
def test_the_take_that_was_planned_last_is_current(session: Records, tmp_path: Path, hours: int) -> None:
    here, there = Worker(session, tmp_path), Worker(session, tmp_path, hours)
    for worker, job_id in ((there, "b"), (here, "a"), (there, "d"), (here, "c"), (there, "e")):
        worker.buy(job_id)
        assert shown(session) == job_id
    assert order(session) == ["b", "a", "d", "c", "e"]


@OFF
def test_a_new_take_comes_after_those_of_earlier_versions(session: Records, tmp_path: Path, hours: int) -> None:
    for job_id, minute in (("old-2", 2), ("old-1", 1)):
        store_take(session, make_take(job_id=job_id, minute=minute), tmp_path)
    assert order(session) == ["old-1", "old-2"]
    Worker(session, tmp_path, hours).buy("new")
    assert order(session) == ["old-1", "old-2", "new"]
    assert shown(session) == "new"


def test_two_workers_that_plan_at_once_are_told_apart_by_their_clocks(session: Records, tmp_path: Path) -> None:
    here, there = Worker(session, tmp_path), Worker(session, tmp_path, -1)
    with patch.object(Records, "next_take_number", lambda *_: 1):
        here.plan("a")
        there.plan("b")
    here.buy("a")
    there.buy("b")
    assert order(session) == ["b", "a"]
    assert shown(session) == "a"
    choose_take(session, "ad", HOOK, "b")
    assert shown(session) == "b"


def test_a_number_is_given_beside_a_record_that_can_t_be_read(session: Records, tmp_path: Path) -> None:
    Worker(session, tmp_path).buy("a")
    session.storage.write("sessions/ad/takes/hook/broken.json", b"{")
    assert session.next_take_number("ad", HOOK) == 3


def test_a_number_is_not_given_again_after_older_takes_were_pruned(session: Records, tmp_path: Path) -> None:
    worker = Worker(session, tmp_path)
    for job_id in ("a", "b", "c"):
        worker.buy(job_id)
    for job_id in ("a", "b"):
        session.storage.remove(f"sessions/ad/takes/hook/{job_id}.json")
    assert session.next_take_number("ad", HOOK) == 4


def order(records: Records) -> list[str]:
    return [take.job_id for take in records.takes("ad", HOOK)]


def shown(records: Records) -> str:
    [video] = session_view(records, "ad").scene_videos
    return video.take
