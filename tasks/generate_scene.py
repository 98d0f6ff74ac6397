"""The task that buys one scene: Prefect's retries, slots, names and artifacts round `adreel.jobs.produce_scene`."""

import asyncio
from functools import partial
from typing import Any

import httpx
from prefect import get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import Task

from adreel.errors import AdreelError
from adreel.jobs import give_up, produce_scene
from adreel.messages import SceneVideo
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.takes import Job, Take
from adreel.views import scene_video
from tasks.artifacts import SceneProgress, show_poster
from tasks.events import scene_failed, scene_stored
from tasks.key import load_settings
from tasks.slots import runware_slot

RETRY_DELAYS: list[float] = [2, 4, 8, 16, 30]


# Prefect takes nothing but a plain function here: anything else means "never retry", without a word.
def is_worth_retrying(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again by itself can help, by the error's class."""
    return may_pass(state.data)


@task(
    name="generate-scene",
    task_run_name="scene-{scenario}",
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_jitter_factor=0.5,
    retry_condition_fn=is_worth_retrying,
    # The take record is the truth; a cached result could only disagree with it.
    persist_result=False,
)
async def generate_scene(job: Job, scenario: Scenario) -> SceneVideo:
    """Buy one scene of a started job and bring its clip home; what is stored already is returned at once."""
    settings = await load_settings()
    records = Records(Storage.of(settings))
    progress = SceneProgress(get_run_logger(), scenario)
    slot = partial(runware_slot, waits=progress.waits)
    try:
        take = await produce_scene(records, settings, job, scenario, slot=slot, report=progress)
    except Exception as error:
        if is_last_try(error):
            await _give_up(records, job, scenario, error)
            scene_failed(job, scenario, error)
        raise
    finally:
        await progress.close()
    scene_stored(records, take)
    await _show_poster(settings, records, take)
    return scene_video(take)


async def _give_up(records: Records, job: Job, scenario: Scenario, error: Exception) -> None:
    try:
        await asyncio.to_thread(give_up, records, job, scenario, error)
    except AdreelError as trouble:
        # The storage may be what the scene has failed of: that is what Prefect has to show.
        get_run_logger().warning("the record can't say why the scene has no clip: %s", trouble)


async def _show_poster(settings: Settings, records: Records, take: Take) -> None:
    try:
        await show_poster(settings, records.storage, take)
    except Exception as error:
        get_run_logger().warning("the poster can't be shown: %s", error)


def may_pass(error: object) -> bool:
    """Whether trying again by itself can help."""
    # Prefect's own server may be away as well, such as when the key is read from its block.
    return isinstance(error, httpx.TransportError) or (isinstance(error, AdreelError) and error.retryable)


def is_last_try(error: Exception) -> bool:
    """Whether the task will not be tried again after this error."""
    if not may_pass(error):
        return True
    context = TaskRunContext.get()
    return context is None or context.task_run.run_count > context.task.retries
