"""State hooks of flows: a cancel or a final crash ends the jobs, and leaves their takes open for a resume."""

from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from adreel.purchase.jobs import ALL, end_jobs_of_run
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage

OF_OTHER_JOBS = {"generate-campaign", "resume"}


# Prefect wants these very names.
def end_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """End the jobs of a cancelled run. Jobs whose tasks had not begun would stay busy for ever."""
    _end_jobs(flow, flow_run)


def end_crashed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """End the jobs of a crashed run that nobody carries on: one without a deployment, such as a command's.

    A run of a deployment that was killed may be carried on, in the same round of its jobs.
    """
    if flow_run.deployment_id is None:
        _end_jobs(flow, flow_run)


def _end_jobs(flow: Flow[..., Any], flow_run: FlowRun) -> None:
    run_id = str(flow_run.id)
    target = str((flow_run.parameters or {}).get("target", ALL)) if flow.name in OF_OTHER_JOBS else run_id
    end_jobs_of_run(Records(Storage.of(Settings.load())), run_id, target)
