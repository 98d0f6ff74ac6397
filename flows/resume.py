"""The flow that resumes the open scenes of earlier jobs."""

from prefect import flow

from adreel.flows.cancelling import end_cancelled, end_crashed
from adreel.flows.jobs import Outcome, resume_jobs
from adreel.orchestration.task_runner import OneLoopTaskRunner
from adreel.purchase.jobs import ALL


@flow(
    name="resume",
    flow_run_name="resume-{target}",
    task_runner=OneLoopTaskRunner(),
    persist_result=False,
    on_cancellation=[end_cancelled],
    on_crashed=[end_crashed],
)
def resume(target: str = ALL) -> Outcome:
    """Fetch what Runware has accepted, buy what it has not; failed attempts are repeated within ADREEL_ATTEMPTS.

    Args:
        target: The id of a session or of a job, which is its run's id; all resumes everything that is open.
    """
    return resume_jobs(target)
