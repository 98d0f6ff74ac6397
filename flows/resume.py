"""The flow that resumes the open scenes of earlier jobs."""

from prefect import flow
from prefect.futures import wait

from adreel.errors import AdreelError
from adreel.flows.forms import ClipPrice, MaxCost
from adreel.flows.jobs import Outcome, job_run
from adreel.flows.options import FLOW_OPTIONS
from adreel.purchase.jobs import ALL
from adreel.tasks.generate_scene import generate_scene


@flow(name="resume", flow_run_name="resume-{target}", **FLOW_OPTIONS)
def resume(target: str = ALL, max_cost: MaxCost = 0, clip_price: ClipPrice = 0) -> Outcome:
    """Download what Runware has accepted and buy what it has not. Failed attempts are repeated within ADREEL_ATTEMPTS.

    Args:
        target: The id of a session, or of a job, which is its run's id. "all" resumes everything that is open.
        max_cost: Most USD that each job may spend, in place of its own limit. 0 keeps that.
        clip_price: USD of each clip whose price is unknown. Such a clip is refused under a limit without it.
    """
    broken: list[AdreelError] = []
    with job_run() as run:
        work = run.resume_jobs(target, broken, max_cost=max_cost or None, clip_price=clip_price or None)
        if scenes := [(job, scenario) for job, scenarios in work for scenario in scenarios]:
            with run.scenes_in_flight():
                wait([generate_scene.submit(job, scenario) for job, scenario in scenes])
        return run.finish(work, broken)
