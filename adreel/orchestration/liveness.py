"""Detection of jobs with a live run. A second run of a job would only double the polls."""

import asyncio
import logging
from datetime import timedelta

from adreel.errors import AdreelError
from adreel.models.takes import Job, utc_now
from adreel.orchestration.embedded_server import is_embedded
from adreel.records import Records

RECORD_AGE = timedelta(seconds=60)
"""Without Prefect, a run counts as live for so long after its last write."""
HEARTBEAT_AGE = timedelta(seconds=90)
"""Three heartbeats. A run without one for so long counts as dead."""
STARTUP_GRACE = timedelta(seconds=90)
"""Time of a new run before its first heartbeat."""
REQUEST_TIMEOUT = 10.0

log = logging.getLogger("adreel.jobs")


def jobs_with_live_run(records: Records, jobs: list[Job], own_run: str = "") -> list[Job]:
    """Return the jobs with a live run, judged by its process or its heartbeats; in doubt a job counts as free."""
    others = [job for job in jobs if job.runner and job.ended_at is None and job.run_id != own_run]
    alive = {job.job_id: job.runner.is_alive for job in others if job.runner}
    if remote := [job for job in others if alive[job.job_id] is None]:
        try:
            live = asyncio.run(_live_runs({job.run_id for job in remote}))
        except Exception as error:
            log.info("can't ask Prefect which runs are alive: %s", error or type(error).__name__)
            live = None
        for job in remote:
            alive[job.job_id] = _is_fresh(records, job) if live is None else job.run_id in live
    return [job for job in others if alive[job.job_id]]


async def _live_runs(run_ids: set[str]) -> set[str] | None:
    """Return the runs with a recent heartbeat or start; None without a Prefect server."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - seconds, and rarely needed
    from prefect.client.schemas.filters import FlowRunFilter  # noqa: PLC0415
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415

    if not PREFECT_API_URL.value() or is_embedded():
        return None
    # The clocks of workers may be fast.
    since, until = utc_now() - HEARTBEAT_AGE, utc_now() + HEARTBEAT_AGE
    heartbeats = {
        "occurred": {"since": since.isoformat(), "until": until.isoformat()},
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run_id}" for run_id in run_ids]},
    }
    async with asyncio.timeout(REQUEST_TIMEOUT), get_client() as client:
        response = await client.request(
            "POST", "/events/count-by/{countable}", path_params={"countable": "resource"}, json={"filter": heartbeats}
        )
        with_heartbeat = {count["value"].rpartition(".")[2] for count in response.json()}
        running = {"id": {"any_": list(run_ids)}, "state": {"type": {"any_": ["RUNNING", "CANCELLING"]}}}
        runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(running))
    new = {str(run.id) for run in runs if run.state and run.state.timestamp > utc_now() - STARTUP_GRACE}
    return {str(run.id) for run in runs} & (with_heartbeat | new)


def _is_fresh(records: Records, job: Job) -> bool:
    """Whether a record of a job was written recently: the only sign of life without Prefect."""
    try:
        takes = [records.take(job.session_id, scenario, job.job_id) for scenario in job.scenarios]
    except AdreelError:
        return False
    return any(take.updated_at > utc_now() - RECORD_AGE for take in takes if take)
