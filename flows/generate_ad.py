"""The flow that generates an ad: the scenes of a stored session, side by side."""

from prefect import flow

from adreel.scenarios import Scenario
from adreel.task_runner import OneLoopTaskRunner
from flows.jobs import Outcome, run_job


@flow(name="generate-ad", flow_run_name="ad-{session_id}", task_runner=OneLoopTaskRunner(), persist_result=False)
def generate_ad(session_id: str, scenarios: list[Scenario] | None = None) -> Outcome:
    """Generate the clips of an ad.

    Args:
        session_id: A session in storage.
        scenarios: A subset of its scenes; all four if empty.
    """
    return run_job(session_id, scenarios or None)
