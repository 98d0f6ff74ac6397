"""What a cancel leaves behind: a job that has ended, its takes open for a resume."""

from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from adreel.jobs import end_job
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage


# Prefect wants these very names.
def end_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """End the job of a cancelled run: one whose tasks had not begun would look busy for ever.

    Nothing but a cancel leads here: a run that was killed may be carried on, in the same round of its job.
    """
    records = Records(Storage.of(Settings.load()))
    job = records.job(str(flow_run.id))
    if job is not None and job.ended_at is None:
        end_job(records, job)
