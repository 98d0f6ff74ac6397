"""The task that buys one scene: retries, a slot, events and artifacts around `adreel.purchase.jobs.buy_scene`."""

import asyncio
from functools import partial

from prefect import get_run_logger, task
from prefect.runtime import task_run

from adreel.errors import AdreelError, clean_error
from adreel.models.api import SceneVideo
from adreel.models.parts import Part, find_part
from adreel.models.scenarios import Scenario
from adreel.models.takes import Job, Take
from adreel.purchase.jobs import buy_scene, record_failure
from adreel.records import Records
from adreel.records.views import scene_video
from adreel.settings import Settings
from adreel.tasks.artifacts import SceneProgress, show_poster
from adreel.tasks.credentials import load_settings
from adreel.tasks.events import scene_failed, scene_stored
from adreel.tasks.retries import TASK_OPTIONS, count_tries, is_last_try, note_retry, retrying
from adreel.tasks.slots import runware_slot


def _run_name() -> str:
    part = find_part(task_run.parameters["scenario"])
    return f"scene-{part}" if isinstance(part, Scenario) else part.value


@task(name="generate-scene", task_run_name=_run_name, **TASK_OPTIONS)
async def generate_scene(job: Job, scenario: Part) -> SceneVideo:
    """Buy one part of a started job and store its file; a stored take is returned at once."""
    logger, settings = get_run_logger(), await load_settings()
    records = Records.of(settings)
    progress = SceneProgress(logger, scenario)
    slot = partial(runware_slot, on_wait=progress.waits_for)
    posters: list[bytes] = []
    key = (job.job_id, scenario)

    def report(take: Take, text: str) -> None:
        retrying.pop(key, None)
        progress(take, text)

    try:
        take = await buy_scene(records, settings, job, scenario, slot=slot, report=report, on_poster=posters.append)
        await asyncio.gather(progress.close(), _show_poster(settings, records, take, *posters[-1:]))
    except Exception as error:
        if not is_last_try(error):
            note_retry(key, count_tries(), error)
        else:
            retrying.pop(key, None)
            try:
                await asyncio.to_thread(record_failure, records, job, scenario, error)
            except AdreelError as unrecorded:
                # Prefect has to show the scene's own error, even if the storage has failed for both.
                logger.warning("can't record why the clip is missing: %s", unrecorded)
            scene_failed(job, scenario, error)
        if (clean := clean_error(error)) is not error:
            raise clean from None
        raise
    finally:
        await progress.close()
    scene_stored(records, take)
    return scene_video(take)


async def _show_poster(settings: Settings, records: Records, take: Take, poster: bytes | None = None) -> None:
    # A failed picture in Prefect's UI never fails the scene.
    try:
        await show_poster(settings, records, take, poster)
    except Exception as error:
        get_run_logger().warning("can't show the poster: %s", error)
