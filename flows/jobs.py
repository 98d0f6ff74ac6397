"""What the flows share: a job is recorded, its scenes are mapped, waited for and summed up."""

from functools import partial
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Failed

from adreel.errors import LONGEST_MESSAGE, AdreelError, InputError, collect_errors
from adreel.flows.output import outlive_the_worker
from adreel.models.runners import at_work
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges, Session
from adreel.models.takes import Job
from adreel.orchestration.liveness import at_work_elsewhere
from adreel.purchase.jobs import end_job, open_scenes, resume_job, start_job
from adreel.records import Records
from adreel.records.views import JobView, SceneView, job_view
from adreel.service import store_new
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.tasks.crash_reporter import last_will
from adreel.tasks.events import job_finished
from adreel.tasks.generate_scene import generate_scene
from adreel.tasks.retries import RETRY_DELAYS, patiently
from adreel.tasks.slots import ensure_limit
from adreel.text import clean_text

Outcome = list[SceneView] | State[Any]


def run_job(
    session_id: str,
    scenarios: list[Scenario] | None,
    changes: SceneChanges | None = None,
    *,
    new: Session | None = None,
) -> Outcome:
    """Run a job under the id of the current flow run: a new job, or the job of an earlier try.

    A session that is `new` is stored first.
    """
    settings, records = open_records()
    job_id = str(flow_run.id)
    with at_work(job_id) as runner:

        def start() -> Job:
            # A retried run has its job already, and people may have changed its session since.
            if new is not None and records.job(job_id) is None:
                store_new(records, settings, new, scenarios, all_anew="a run with its session_id alone")
            return start_job(records, settings, job_id, session_id, scenarios=scenarios, changes=changes, runner=runner)

        job = patiently(start, iter(RETRY_DELAYS))
        return _carry_out(records, settings, [(job, job.scenarios)])


def resume_jobs(target: str) -> Outcome:
    """Resume the open scenes of a job, a session, or `all` jobs; nothing is bought twice.

    Jobs of another live run are skipped.
    """
    settings, records = open_records()
    broken: list[AdreelError] = []
    work = []
    with at_work(str(flow_run.id)) as runner:
        delays = iter(RETRY_DELAYS)
        found = patiently(lambda: open_scenes(records, settings, target, broken), delays)
        busy = {job.job_id: job.run_id for job in at_work_elsewhere(records, [job for job, _ in found], runner.run_id)}
        for job, scenes in found:
            if job.job_id in busy:
                get_run_logger().warning("job %s is left to run %s, which works on it", job.job_id, busy[job.job_id])
                continue
            with collect_errors(broken):
                work.append((patiently(partial(resume_job, records, settings, job, runner), delays), scenes))
        return _carry_out(records, settings, work, broken)


def open_records() -> tuple[Settings, Records]:
    """Return what a run works with; InputError for a storage that would end with the run."""
    outlive_the_worker()
    settings = Settings.load()
    # A worker's run has a temporary folder of its own, and a memory: a clip that is put there ends with it.
    if _is_of_worker() and settings.is_storage_of_process:
        raise InputError(
            f"ADREEL_STORAGE is {settings.storage!r}, which ends with a worker's run: give the worker an absolute path,"
            " such as $PWD/outputs, or a URL"
        )
    return settings, Records(Storage.of(settings))


def _is_of_worker() -> bool:
    # `prefect.runtime.deployment` would ask the server.
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.deployment_id)


def _carry_out(
    records: Records,
    settings: Settings,
    work: list[tuple[Job, list[Scenario]]],
    broken: list[AdreelError] | None = None,
) -> Outcome:
    scenes: list[SceneView] = []
    if work:
        _generate(settings, work)
    delays = iter(RETRY_DELAYS)
    for job, scenarios in work:
        with collect_errors(broken):
            patiently(partial(end_job, records, job), delays)
            view = patiently(partial(job_view, records, job.job_id), delays)
            _show_table(settings, view)
            job_finished(view)
            scenes += [scene for scene in view.scenes if scene.scenario in scenarios]
    return _failure(scenes, broken or []) or scenes


def _generate(settings: Settings, work: list[tuple[Job, list[Scenario]]]) -> None:
    ensure_limit(settings.concurrency)
    pairs = [(job, scenario) for job, scenarios in work for scenario in scenarios]
    # Futures are waited for and their states read: result() would leave at the first failure.
    with last_will(str(flow_run.id), flow_run.run_count):
        wait(generate_scene.map([job for job, _ in pairs], [scenario for _, scenario in pairs]))


def _failure(scenes: list[SceneView], broken: list[AdreelError]) -> State[Any] | None:
    failed = [scene for scene in scenes if scene.status != "completed"]
    if not failed and not broken:
        return None
    reasons = [scene.error or f"scene {scene.scenario}: no reason was recorded" for scene in failed]
    message = [f"{len(failed)} of {len(scenes)} scenes have no clip:", *reasons] if failed else []
    message += [f"{len(broken)} jobs can't be taken up:", *map(str, broken)] if broken else []
    name = "Partial" if len(failed) < len(scenes) else "Failed"
    return Failed(name=name, message=clean_text("\n".join(message), LONGEST_MESSAGE))


def _show_table(settings: Settings, view: JobView) -> None:
    try:
        create_table_artifact(
            table=[_row(settings, scene) for scene in view.scenes],
            key="job-summary",
            description=f"Session {view.session_id}: {view.overall_status}, {_cost(view)}{_links(settings, view)}",
        )
    except Exception as error:
        get_run_logger().warning("the summary can't be shown: %s", error)


def _row(settings: Settings, scene: SceneView) -> dict[str, Any]:
    return {
        "scene": scene.scenario.value,
        "state": scene.status.value,
        "seconds": scene.duration,
        "cost": _money(scene.cost),
        "take": scene.take,
        "error": scene.error or "",
        "clip": settings.openable(scene.video_url) or scene.location or "",
    }


def _links(settings: Settings, view: JobView) -> str:
    # Prefect's UI makes links of a description; of a table's cells only its older version does.
    opened = [(scene.scenario, settings.openable(scene.video_url)) for scene in view.scenes]
    links = [f"[{scenario}]({url})" for scenario, url in opened if url]
    return f". Clips: {', '.join(links)}" if links else ""


def _cost(view: JobView) -> str:
    known = [scene.cost for scene in view.scenes if scene.cost is not None]
    return f"at least {_money(sum(known))}" if view.cost is None and known else _money(view.cost)


def _money(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"USD {cost:.2f}"
