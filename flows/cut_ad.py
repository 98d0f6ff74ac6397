"""The flow that makes the finished ad of a session. It buys nothing."""

from typing import Annotated, cast

from prefect import flow
from prefect.futures import wait
from prefect.runtime import flow_run

from adreel.flows.forms import LeftEmpty
from adreel.flows.jobs import open_records
from adreel.flows.options import FLOW_OPTIONS
from adreel.models.cut_settings import CutOptions, Format
from adreel.models.cuts import Cut
from adreel.tasks.crash_reporter import crash_reporter
from adreel.tasks.cut_ad import cut_ad as cut_task
from adreel.tasks.cut_ad import steps as steps_of_tasks
from adreel.tasks.slots import CUTS_AT_ONCE, CUTS_LIMIT, ensure_limit

steps = steps_of_tasks
"""Progress of the cuts that run in this process, for the command line."""


@flow(name="cut-ad", flow_run_name="cut-{session_id}", **FLOW_OPTIONS)
def cut_ad(
    session_id: str,
    formats: Annotated[list[Format] | None, LeftEmpty()] = None,
    preset: str = "",
    captions: bool = True,
    allow_missing: bool = False,
) -> Cut:
    """Make the finished ad of a session's current clips. An ad that is made already stays as it is.

    Args:
        session_id: The id of a stored session.
        formats: In place of the session's formats.
        preset: A placement, such as tiktok: its format, and its safe area for captions.
        captions: Whether captions are burnt into the picture.
        allow_missing: Make a shorter ad if a scene has no clip.
    """
    open_records()
    options = CutOptions(
        formats=tuple(formats or ()), preset=preset or None, captions=captions, allow_missing=allow_missing
    )
    ensure_limit(CUTS_AT_ONCE, CUTS_LIMIT)
    with crash_reporter(str(flow_run.id), flow_run.run_count):
        future = cut_task.submit(session_id, options)
        wait([future])
    # The result of an async task is not a coroutine here: the task runner awaits it.
    return cast(Cut, future.result())
