"""Shared by all flows: names of runs, the task runner, and hooks that end the jobs of a cancelled or crashed run.

An ended job leaves its takes open for a resume.
"""

from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from adreel.orchestration.task_runner import OneLoopTaskRunner
from adreel.purchase.jobs import ALL, end_jobs_of_run
from adreel.records import Records
from adreel.settings import Settings

FLOWS_OF_OTHER_JOBS = {"generate-campaign", "resume"}
"""Their jobs have ids of their own. The job of any other flow has the id of its run."""


def name_run(session_id: str) -> str:
    """Return the name of a run for an ad. Generated ids begin with `ad-` already."""
    return f"ad-{session_id.removeprefix('ad-')}"


# Prefect passes the arguments by these names.
def end_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """End the jobs of a cancelled run. A job whose tasks had not started would look busy for ever."""
    _end_jobs(flow, flow_run, cancelled=True)


def end_crashed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """End the jobs of a crashed run without a deployment, such as a command's.

    A run of a deployment may be resumed after a crash, in the same round of its jobs.
    """
    if flow_run.deployment_id is None:
        _end_jobs(flow, flow_run, cancelled=False)


def _end_jobs(flow: Flow[..., Any], flow_run: FlowRun, *, cancelled: bool) -> None:
    run_id = str(flow_run.id)
    target = str((flow_run.parameters or {}).get("target", ALL)) if flow.name in FLOWS_OF_OTHER_JOBS else run_id
    end_jobs_of_run(Records.of(Settings.load()), run_id, target, cancelled=cancelled)


FLOW_OPTIONS: dict[str, Any] = {
    "task_runner": OneLoopTaskRunner(),
    "persist_result": False,
    "on_cancellation": [end_cancelled],
    "on_crashed": [end_crashed],
}
