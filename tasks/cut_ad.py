"""The task that makes the finished ad of a session: retries, a slot and artifacts around `make_cut`."""

import asyncio
from functools import partial

from prefect import get_run_logger, task

from adreel.cut.making import Report, make_cut
from adreel.cut.planning import plan_cut
from adreel.cut.signing import find_signer
from adreel.errors import clean_error
from adreel.models.cut_settings import CutOptions
from adreel.models.cuts import Cut
from adreel.records import Records
from adreel.settings import Settings
from adreel.tasks.artifacts import CutProgress, show_cut
from adreel.tasks.retries import TASK_OPTIONS
from adreel.tasks.slots import cut_slot

steps: dict[str, tuple[int, str]] = {}
"""Progress in percent and step of the cuts that run in this process, by session."""


@task(name="cut-ad", task_run_name="cut-{session_id}", **TASK_OPTIONS)
async def cut_ad(session_id: str, options: CutOptions) -> Cut:
    """Make the finished ad of a session's current clips; one that is made already is returned at once."""
    logger, settings = get_run_logger(), Settings.load()
    records = Records.of(settings)
    progress = CutProgress(logger, session_id)

    def report(percent: int, step: str) -> None:
        steps[session_id] = percent, step
        progress(percent, step)

    try:
        cut = await cut_in_slot(records, session_id, options, report)
    except Exception as error:
        if (clean := clean_error(error)) is not error:
            raise clean from None
        raise
    finally:
        await progress.close()
    try:
        await show_cut(settings, records.storage, cut)
    except Exception as error:
        logger.warning("can't show the posters: %s", error)
    return cut


async def cut_in_slot(records: Records, session_id: str, options: CutOptions, report: Report) -> Cut:
    """Plan and make a cut; a slot of the limit `cuts` is held while it is rendered."""
    signer = await asyncio.to_thread(find_signer, Settings.load())
    planned = await asyncio.to_thread(plan_cut, records, session_id, options, signer)
    if planned.made:
        report(100, "unchanged")
        return planned.made
    waiting = partial(report, 0)
    async with cut_slot(on_wait=lambda what: waiting(f"waits for {what}")):
        return await make_cut(records, planned, report)
