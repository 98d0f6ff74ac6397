"""What a cancelled run leaves behind."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from adreel.errors import JobCancelled
from adreel.flows.generate_ad import generate_ad
from adreel.flows.generate_campaign import generate_campaign
from adreel.flows.options import end_cancelled
from adreel.flows.resume import resume
from adreel.models.api import State
from adreel.models.runners import Runner
from adreel.models.scenarios import Scenario
from adreel.models.takes import Job, Take, utc_now
from adreel.purchase import watching
from adreel.purchase.jobs import buy_scene, end_job, open_scenes, resume_job, start_job
from adreel.records import Records
from adreel.records.views import job_status
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import make_session, save_job
from tests.studio import studio


def test_a_job_whose_run_is_cancelled_before_its_tasks_began_has_ended_and_can_be_resumed(records: Records) -> None:
    records.save_session(make_session())
    run = FlowRun(id=uuid4(), flow_id=uuid4())
    start_job(records, Settings.load(), str(run.id), "ad", scenarios=[Scenario.HOOK])
    assert job_status(records, str(run.id)).overall_status == State.GENERATING
    [hook] = generate_ad.on_cancellation_hooks
    hook(generate_ad, run, Cancelling())
    assert job_status(records, str(run.id)).overall_status == State.CANCELLED
    [(job, scenes)] = open_scenes(records, Settings.load(), str(run.id))
    assert (job.rounds, scenes) == (1, [Scenario.HOOK])


def test_a_run_that_is_cancelled_before_it_has_a_job_leaves_nothing(records: Records) -> None:
    end_cancelled(generate_ad, FlowRun(id=uuid4(), flow_id=uuid4()), Cancelling())
    assert records.job_ids() == []


def run_of(flow: Any, deployment: UUID | None = None, **parameters: Any) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), deployment_id=deployment, parameters=parameters)


def start_for(records: Records, run: FlowRun, job_id: str) -> Job:
    return start_job(records, Settings.load(), job_id, "ad", runner=Runner.here(str(run.id)))


@pytest.mark.parametrize("flow", [generate_campaign, resume], ids=lambda flow: flow.name)
@pytest.mark.parametrize(
    ("hook", "deployment", "state"),
    [
        ("cancellation", uuid4(), State.CANCELLED),
        ("crashed", None, State.FAILED),
        ("crashed", uuid4(), State.GENERATING),
    ],
    ids=["cancelled", "crashed for good", "crashed and carried on"],
)
def test_a_run_that_works_on_several_jobs_ends_them(
    records: Records, flow: Any, hook: str, deployment: UUID | None, state: State
) -> None:
    records.save_session(make_session())
    run, other = run_of(flow, deployment), run_of(flow)
    mine = [start_for(records, run, f"mine-{number}") for number in range(3)]
    start_for(records, other, "another")
    end_job(records, mine[0])
    ended = records.job("mine-0")
    [end] = getattr(flow, f"on_{hook}_hooks")
    end(flow, run, Cancelling())
    assert [job_status(records, job.job_id).overall_status for job in mine[1:]] == [state] * 2
    assert records.job("mine-0") == ended
    assert job_status(records, "another").overall_status == State.GENERATING


def test_a_resume_of_one_job_ends_that_one(records: Records) -> None:
    records.save_session(make_session())
    run = run_of(resume, target="job-1")
    start_for(records, run, "job-1")
    end_cancelled(resume, run, Cancelling())
    job = records.job("job-1")
    assert job
    assert job.ended_at


def test_a_job_that_a_resume_has_taken_over_is_not_ended_by_its_own_run(records: Records) -> None:
    records.save_session(make_session())
    run = run_of(generate_ad)
    start_for(records, run_of(resume), str(run.id))
    end_cancelled(generate_ad, run, Cancelling())
    assert job_status(records, str(run.id)).overall_status == State.GENERATING


class TestACancelledJobOfARunThatGoesOn:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watching, "WATCH_SECONDS", 0.1)

    async def test_what_is_followed_is_left_open(self) -> None:
        async with studio(render_seconds=600) as it:
            job = it.start(Scenario.HOOK)
            scene = asyncio.create_task(it.produce(job=job))
            await until(lambda: it.bought)
            end_job(it.records, job, cancelled=True)
            with pytest.raises(JobCancelled, match="adreel resume"):
                await scene
            assert it.take().is_open
            assert job_status(it.records, job.job_id).overall_status == State.CANCELLED

    async def test_what_waits_for_a_slot_is_not_bought(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watching, "WATCH_SECONDS", 600)
        free = asyncio.Event()

        @asynccontextmanager
        async def slot(_earlier: UUID | None) -> AsyncIterator[None]:
            await free.wait()
            yield

        async with studio() as it:
            job = it.start(Scenario.HOOK)
            scene = asyncio.create_task(buy_scene(it.records, it.settings, job, Scenario.HOOK, slot=slot))
            await asyncio.sleep(0.1)
            end_job(it.records, job, cancelled=True)
            free.set()
            with pytest.raises(JobCancelled, match="scene hook"):
                await scene
            assert not it.bought
            assert not it.take().is_open

    async def test_a_resume_takes_it_up_in_the_same_round(self) -> None:
        async with studio(render_seconds=1) as it:
            job = it.start(Scenario.HOOK)
            scene = asyncio.create_task(it.produce(job=job))
            await until(lambda: it.bought)
            end_job(it.records, job, cancelled=True)
            with pytest.raises(JobCancelled):
                await scene
            [(ended, scenes)] = open_scenes(it.records, it.settings, job.job_id)
            taken_up = resume_job(it.records, it.settings, ended)
            assert (scenes, taken_up.rounds, taken_up.cancelled_at) == ([Scenario.HOOK], 1, None)
            assert (await it.produce(job=taken_up)).is_stored
            assert len(it.bought) == 1

    async def test_an_end_that_another_run_has_noted_cancels_nothing(self) -> None:
        async with studio(render_seconds=1) as it:
            job = it.start(Scenario.HOOK)
            scene = asyncio.create_task(it.produce(job=job))
            await until(lambda: it.bought)
            end_job(it.records, job)
            assert (await scene).is_stored


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - records and the ledger wake nobody
            await asyncio.sleep(0.02)


WRITE_SECONDS = 0.1
SCENES = 60


class SlowStorage(Storage):
    """A storage that takes a while for each record."""

    is_slow = False

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        if self.is_slow:
            time.sleep(WRITE_SECONDS)
        return super().update(path, change)


@pytest.mark.slow
async def test_sixty_scenes_record_their_cancel_without_holding_up_the_loop() -> None:
    async with studio(render_seconds=600) as it:
        storage = SlowStorage(it.settings.storage)
        records = Records(storage)
        started = [
            start_job(records, it.settings, f"job-{number}", "ad", scenarios=[Scenario.HOOK])
            for number in range(SCENES)
        ]
        scenes = [asyncio.create_task(buy_scene(records, it.settings, job, Scenario.HOOK)) for job in started]

        def takes() -> list[Take]:
            return [take for job in started if (take := records.take("ad", Scenario.HOOK, job.job_id))]

        await until(lambda: all(take.attempts and take.attempts[-1].accepted_at for take in takes()))

        gaps: list[float] = []

        async def tick() -> None:
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.005)
                gaps.append(time.monotonic() - before)

        ticking = asyncio.create_task(tick())
        storage.is_slow = True
        for scene in scenes:
            scene.cancel()
        await asyncio.wait(scenes)
        ticking.cancel()
        assert all(scene.cancelled() for scene in scenes)
        assert {take.problem.code if take.problem else None for take in takes()} == {"cancelled"}
        # Sixty writes on the event loop would have blocked it.
        assert max(gaps) < SCENES / 4 * WRITE_SECONDS
        assert len(gaps) > SCENES / 4


async def test_a_cancel_is_recorded_even_if_the_slot_is_given_back_late() -> None:
    @asynccontextmanager
    async def slot(_earlier: UUID | None) -> AsyncIterator[None]:
        try:
            yield
        finally:
            # The wait for an unreachable server takes this long.
            await asyncio.sleep(600)

    async with studio(render_seconds=600) as it:
        job = it.start(Scenario.HOOK)
        scene = asyncio.create_task(buy_scene(it.records, it.settings, job, Scenario.HOOK, slot=slot))
        await until(lambda: it.bought)
        scene.cancel()
        await until(lambda: it.take().problem)
        scene.cancel()
        await asyncio.wait([scene])
        assert scene.cancelled()


async def test_a_storage_that_can_not_be_written_does_not_turn_a_cancel_into_an_error() -> None:
    async with studio(render_seconds=600) as it:
        job = it.start(Scenario.HOOK)
        scene = asyncio.create_task(it.produce(job=job))
        await until(lambda: it.take().attempts)
        folder = Path(it.records.storage.location("sessions/ad/takes/hook"))
        folder.rename(folder.with_name("moved"))
        folder.write_text("no folder")
        scene.cancel()
        await asyncio.wait([scene])
        assert scene.cancelled()


class CountingRecords(Records):
    """Records that count how often a job is read."""

    reads = 0

    def job(self, job_id: str) -> Job | None:
        self.reads += 1
        return super().job(job_id)


async def test_scenes_that_are_sent_together_read_their_job_once(tmp_path: Path) -> None:
    records = CountingRecords(Storage(str(tmp_path)))
    async with watching.watch_job(records, "job-1") as watch, watching.watch_job(records, "job-1") as other:
        await asyncio.gather(*(each.check() for each in (watch, other) for _ in range(4)))
        assert records.reads == 1
        await watch.check()
        assert records.reads == 2


async def test_a_check_does_not_join_a_read_in_flight(tmp_path: Path) -> None:
    going_on, has_read = threading.Event(), threading.Event()

    class SlowRecords(Records):
        def job(self, job_id: str) -> Job | None:
            found = super().job(job_id)
            has_read.set()
            going_on.wait(10)
            return found

    records = SlowRecords(Storage(str(tmp_path)))
    records.save_session(make_session())
    async with watching.watch_job(records, "job-1") as watch:
        first = asyncio.create_task(watch.check())
        await until(has_read.is_set)
        # The read in flight has seen no record of the job.
        job = Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK], created_at=utc_now())
        save_job(records, job.model_copy(update={"cancelled_at": utc_now()}))
        second = asyncio.create_task(watch.check())
        await asyncio.sleep(2 * watching.TOGETHER_SECONDS)
        going_on.set()
        await first
        with pytest.raises(JobCancelled, match="adreel resume"):
            await second


async def test_the_scenes_of_a_cancelled_job_end_together(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 0.02)
    records.save_session(make_session())
    job = start_job(records, Settings.load(), "job-1", "ad")

    async def work() -> None:
        async with watching.watch_job(records, "job-1"):
            await asyncio.sleep(600)

    scenes = [asyncio.create_task(work()) for _ in range(4)]
    await asyncio.sleep(0.05)
    end_job(records, job, cancelled=True)
    ended = await asyncio.gather(*scenes, return_exceptions=True)
    assert [type(each) for each in ended] == [JobCancelled] * 4
