"""The task that buys one scene: Prefect's retries, slots, names and artifacts round `adreel.jobs.produce_scene`."""

import asyncio
from functools import partial

from prefect import get_run_logger, task

from adreel.errors import AdreelError
from adreel.models.api import SceneVideo
from adreel.models.scenarios import Scenario
from adreel.models.takes import Job, Take
from adreel.purchase.jobs import give_up, produce_scene
from adreel.records import Records
from adreel.records.views import scene_video
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.tasks.artifacts import SceneProgress, show_poster
from adreel.tasks.credentials import load_settings
from adreel.tasks.events import scene_failed, scene_stored
from adreel.tasks.retries import RETRIES, is_last_try, told_cleanly
from adreel.tasks.slots import runware_slot


@task(
    name="generate-scene",
    task_run_name="scene-{scenario}",
    **RETRIES,
    # The take record is the truth; a cached result could only disagree with it.
    persist_result=False,
)
async def generate_scene(job: Job, scenario: Scenario) -> SceneVideo:
    """Buy one scene of a started job and store its clip; a stored take is returned at once."""
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
        if (clean := told_cleanly(error)) is not error:
            raise clean from None
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
