"""What a status costs: a few reads of the storage, shared by those who ask at once, and no question to Prefect."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from typing import Any, cast

import httpx
import pytest

from adreel.errors import NotFound
from adreel.orchestration.runs import Run, Runs
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.service import Service
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.web.status_cache import StatusCache
from tests.api.serving import served
from tests.factories import make_session


class CountingStorage(Storage):
    """Counts the files that are read."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.reads: Counter[str] = Counter()

    def read(self, path: str, most: int | None = None) -> bytes:
        self.reads[path] += 1
        return super().read(path, most)


class CountingRuns:
    """Stands where Prefect is asked, and knows of no run unless it is told of one."""

    def __init__(self) -> None:
        self.questions = 0
        self.run: Run | None = None

    async def read(self, _run_id: str) -> Run | None:
        self.questions += 1
        return self.run


@pytest.fixture
def storage() -> CountingStorage:
    return CountingStorage("./outputs")


@pytest.fixture
def statuses(storage: CountingStorage) -> StatusCache:
    records = Records(storage)
    records.save_session(make_session())
    start_job(records, Settings(), "job-1", "ad")
    storage.reads.clear()
    return StatusCache(Service(records, Settings(), cast(Runs, CountingRuns())))


async def test_a_status_reads_the_job_and_its_four_takes(statuses: StatusCache, storage: CountingStorage) -> None:
    await statuses.read("job-1")
    assert storage.reads.total() == 5
    assert cast(CountingRuns, statuses._service.runs).questions == 0


async def test_all_who_ask_at_once_share_one_reading(statuses: StatusCache, storage: CountingStorage) -> None:
    found = await asyncio.gather(*(statuses.read("job-1") for _ in range(100)))
    assert all(status == found[0] for status in found)
    assert storage.reads.total() == 5


async def test_all_who_follow_a_job_share_what_is_fresh(statuses: StatusCache, storage: CountingStorage) -> None:
    for _ in range(10):
        await statuses.recent("job-1", 60)
    assert storage.reads.total() == 5
    await statuses.recent("job-1", 0)
    assert storage.reads.total() == 10


async def test_who_leaves_takes_no_reading_away_from_others(statuses: StatusCache) -> None:
    leaving = asyncio.create_task(statuses.read("job-1"))
    staying = asyncio.create_task(statuses.read("job-1"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).job_id == "job-1"


async def test_a_job_that_nobody_knows_is_asked_for_anew_each_time(statuses: StatusCache) -> None:
    for _ in range(2):
        with pytest.raises(NotFound):
            await statuses.recent("job-2", 60)
    assert cast(CountingRuns, statuses._service.runs).questions == 2


@pytest.mark.parametrize("given", [{"session_id": "ad", "session": {}}, {"session_id": "", "session": {"a": 1}}])
async def test_a_run_that_a_form_has_started_is_known_before_it_begins(
    statuses: StatusCache, given: dict[str, Any]
) -> None:
    run = Run("job-3", {**given, "scenarios": ["hook"]}, {}, "Scheduled", "", is_final=False)
    cast(CountingRuns, statuses._service.runs).run = run
    status = await statuses.read("job-3")
    assert [(scene.scenario, scene.status) for scene in status.scenes] == [("hook", "generating")]


def test_a_server_that_goes_ends_its_event_streams(statuses: StatusCache) -> None:
    with httpx.Client(timeout=30) as watcher, ExitStack() as server:
        address = server.enter_context(served()).base_url
        with watcher.stream("GET", address.join("/api/videos/events/job-1")) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: status"
            server.close()
            assert "event: end" not in list(lines)
