"""What the flows share: a job is recorded, its scenes are mapped, waited for and summed up."""

from typing import Any

from prefect import get_run_logger, unmapped
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Failed

from adreel.jobs import end_job, start_job
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.sessions import SceneChanges
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.views import JobView, SceneView, job_view
from tasks.generate_scene import generate_scene
from tasks.slots import ensure_limit

Outcome = list[SceneView] | State[Any]


def run_job(session_id: str, scenarios: list[Scenario] | None, changes: SceneChanges | None = None) -> Outcome:
    """Run a job under the id of the current flow run: a new one, or one that is taken up again."""
    settings = Settings.load()
    records = Records(Storage(settings.storage))
    ensure_limit(settings.concurrency)
    job = start_job(records, settings, str(flow_run.id), session_id, scenarios=scenarios, changes=changes)
    futures = generate_scene.map(unmapped(job), job.scenarios)
    # Futures are waited for and their states read: result() would leave at the first failure.
    wait(futures)
    end_job(records, job)
    view = job_view(records, job.job_id)
    _show_table(view)
    return _failure(view) or view.scenes


def _failure(view: JobView) -> State[Any] | None:
    failed = [scene for scene in view.scenes if scene.status != "completed"]
    if not failed:
        return None
    reasons = "\n".join(scene.error or f"scene {scene.scenario}: no reason was recorded" for scene in failed)
    name = "Partial" if len(failed) < len(view.scenes) else "Failed"
    message = f"{len(failed)} of {len(view.scenes)} scenes have no clip:\n{reasons}"
    return Failed(name=name, message=message)


def _show_table(view: JobView) -> None:
    try:
        create_table_artifact(
            table=[_row(scene) for scene in view.scenes],
            key="job-summary",
            description=f"Session {view.session_id}: {view.overall_status}, {_money(view.cost)}",
        )
    except Exception as error:
        get_run_logger().warning("the summary can't be shown: %s", error)


def _row(scene: SceneView) -> dict[str, Any]:
    return {
        "scene": scene.scenario.value,
        "state": scene.status.value,
        "clip": scene.location or "",
        "seconds": scene.duration,
        "cost": _money(scene.cost),
        "take": scene.take,
        "error": scene.error or "",
    }


def _money(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"USD {cost:.2f}"
