"""The work of a simulated process: a job as flow and task execute it, without Prefect."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from adreel.errors import AdreelError
from adreel.models.parts import Part
from adreel.models.sessions import SceneChanges
from adreel.models.takes import Job, Take
from adreel.purchase.jobs import buy_scene, end_job, open_scenes, record_failure, resume_job, start_job
from adreel.records import Records
from adreel.settings import Settings

SESSION = "ad"
RETRY_DELAYS = (2, 4, 8, 16, 30)


class Slots(Protocol):
    """Leases the slots of the limit `runware`."""

    def slot(self, earlier: UUID | None) -> AbstractAsyncContextManager[UUID | None]:
        """Hold one slot: that of an earlier run if its lease is still valid."""


async def run_job(  # noqa: PLR0917 - like the flow's own parameters
    records: Records,
    settings: Settings,
    slots: Slots,
    job_id: str,
    scenarios: Sequence[Part],
    changes: SceneChanges | None = None,
) -> None:
    """Execute a job like the flow generate-ad. Errors are recorded."""
    job = await asyncio.to_thread(
        start_job, records, settings, job_id, SESSION, scenarios=list(scenarios), changes=changes
    )
    takes = await _scenes(records, settings, slots, job, job.scenarios)
    await asyncio.to_thread(end_job, records, job, takes=takes)


async def resume(records: Records, settings: Settings, slots: Slots) -> None:
    """Resume open takes like the flow resume."""
    for job, scenarios in open_scenes(records, settings, "all"):
        resumed = resume_job(records, settings, job)
        takes = await _scenes(records, settings, slots, resumed, scenarios)
        end_job(records, resumed, takes=takes)


async def _scenes(records: Records, settings: Settings, slots: Slots, job: Job, scenarios: list[Part]) -> list[Take]:
    """Execute scenes concurrently and return the stored takes. One that can't record its error ends no other."""
    scenes = [_scene(records, settings, slots, job, scenario) for scenario in scenarios]
    takes = []
    for ended in await asyncio.gather(*scenes, return_exceptions=True):
        if isinstance(ended, Exception) and not isinstance(ended, AdreelError):
            raise ended
        if isinstance(ended, Take):
            takes.append(ended)
    return takes


async def _scene(records: Records, settings: Settings, slots: Slots, job: Job, scenario: Part) -> Take | None:
    for delay in (*RETRY_DELAYS, None):
        try:
            return await buy_scene(records, settings, job, scenario, slot=slots.slot)
        except AdreelError as error:
            if delay is None or not error.retryable:
                await asyncio.to_thread(record_failure, records, job, scenario, error)
                break
            await asyncio.sleep(delay)
    return None
