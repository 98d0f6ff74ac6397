"""What a cancelled run leaves behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from adreel.jobs import open_scenes, produce_scene, start_job
from adreel.messages import State
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.takes import Take
from adreel.views import job_status
from flows.cancelling import end_cancelled
from flows.generate_ad import generate_ad
from tests.factories import make_session
from tests.studio import studio


def test_a_job_whose_run_is_cancelled_before_its_tasks_began_has_ended_and_can_be_resumed(records: Records) -> None:
    records.save_session(make_session())
    run = FlowRun(id=uuid4(), flow_id=uuid4())
    start_job(records, Settings.load(), str(run.id), "ad", scenarios=[Scenario.HOOK])
    assert job_status(records, str(run.id)).overall_status == State.GENERATING
    [hook] = generate_ad.on_cancellation_hooks
    hook(generate_ad, run, Cancelling())
    assert job_status(records, str(run.id)).overall_status == State.FAILED
    [(job, scenes)] = open_scenes(records, Settings.load(), str(run.id))
    assert (job.rounds, scenes) == (1, [Scenario.HOOK])


def test_a_run_that_is_cancelled_before_it_has_a_job_leaves_nothing(records: Records) -> None:
    end_cancelled(generate_ad, FlowRun(id=uuid4(), flow_id=uuid4()), Cancelling())
    assert records.job_ids() == []


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


async def test_sixty_scenes_record_their_cancel_without_holding_up_the_loop() -> None:
    async with studio(render_seconds=600) as it:
        storage = SlowStorage(it.settings.storage)
        records = Records(storage)
        jobs = [
            start_job(records, it.settings, f"job-{number}", "ad", scenarios=[Scenario.HOOK])
            for number in range(SCENES)
        ]
        scenes = [asyncio.create_task(produce_scene(records, it.settings, job, Scenario.HOOK)) for job in jobs]

        def takes() -> list[Take]:
            return [take for job in jobs if (take := records.take("ad", Scenario.HOOK, job.job_id))]

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
        # On the loop the records would have held it for all sixty writes.
        assert max(gaps) < SCENES / 4 * WRITE_SECONDS
        assert len(gaps) > SCENES / 4


async def test_a_cancel_is_recorded_even_if_the_slot_is_given_back_late() -> None:
    @asynccontextmanager
    async def slot(_earlier: UUID | None) -> AsyncIterator[None]:
        try:
            yield
        finally:
            # As long as a server that is away is waited for.
            await asyncio.sleep(600)

    async with studio(render_seconds=600) as it:
        job = it.start(Scenario.HOOK)
        scene = asyncio.create_task(produce_scene(it.records, it.settings, job, Scenario.HOOK, slot=slot))
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
