"""The commands that buy: generate and regenerate, with their progress and their summary."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adreel.cli.display import open_records, print_line, show_actions, show_broken, show_job, show_resumed
from adreel.cli.progress import watching
from adreel.environment.proxies import unify_proxies
from adreel.errors import AdreelError, InputError
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges, check_words, describe, is_local_file, read_session
from adreel.models.takes import Job
from adreel.orchestration.liveness import at_work_elsewhere
from adreel.purchase.jobs import open_scenes
from adreel.purchase.request import clip_request
from adreel.records import Records
from adreel.records.inputs import copy_input, read_image
from adreel.records.views import job_view
from adreel.service import store_new
from adreel.settings import Settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State as FlowState
    from prefect.flows import Flow

Watch = Callable[[str], AbstractContextManager[None]]
RunHere = Callable[["Flow[..., Any]", dict[str, Any], Watch], "FlowState[Any]"]


def generate_file(file: Path, scenes: list[Scenario] | None, *, again: bool, as_json: bool, verbose: bool) -> int:
    """Store the session of a file and generate its scenes; returns the exit code."""
    settings = Settings.load()
    records = open_records(settings)
    session = read_session(file)
    all_anew = None if again else f"`adreel generate {file} --again`"
    chosen = store_new(records, settings, session, scenes or None, all_anew=all_anew)
    parameters = {"session_id": session.session_id, "scenarios": chosen}
    return _run("generate_ad", parameters, settings, as_json=as_json, verbose=verbose)


def regenerate_one(
    session_id: str, scenario: Scenario, changed: dict[str, Any], *, as_json: bool, verbose: bool
) -> int:
    """Buy a new take of one scene; returns the exit code."""
    settings = Settings.load()
    records = open_records(settings)
    session = records.session(session_id)
    changes = _changes(changed)
    clip_request(session, changes.applied_to(session.scene(scenario)), settings)
    if changes.first_frame and is_local_file(changes.first_frame):
        # Parameters of a run can come from elsewhere, so they must not name local files.
        changes.first_frame = copy_input(records.storage, session_id, read_image(changes.first_frame))
    parameters = {"session_id": session_id, "scenario": scenario, "changes": changes}
    return _run("regenerate_scene", parameters, settings, as_json=as_json, verbose=verbose)


def resume_open(target: str, *, as_json: bool, verbose: bool) -> int:
    """Resume open jobs; returns the exit code."""
    settings = Settings.load()
    records = open_records(settings)
    broken: list[AdreelError] = []
    found = [job for job, _ in open_scenes(records, settings, target, broken)]
    busy = _left_alone(records, found)
    jobs = [job.job_id for job in found if job.job_id not in busy]
    if jobs:

        def watch(_run_id: str) -> AbstractContextManager[None]:
            return nullcontext() if as_json else watching(records, jobs)

        state = run_flow("resume", {"target": target}, settings, watch, as_json=as_json, verbose=verbose)
        if isinstance(state.data, AdreelError):
            raise state.data
        # Another run may have begun to work on them before this one did.
        busy |= _left_alone(records, [job for job_id in jobs if (job := records.job(job_id))])
    views = [job_view(records, job_id) for job_id in jobs if job_id not in busy]
    if views or as_json or not busy:
        show_resumed(views, as_json=as_json)
    if not as_json:
        show_actions(records, settings, views)
    unread = show_broken(broken)
    return unread if all(view.overall_status == State.COMPLETED for view in views) else 1


def _left_alone(records: Records, jobs: list[Job]) -> set[str]:
    """Name the jobs that another run works on, and return their ids."""
    busy = at_work_elsewhere(records, jobs)
    for job in busy:
        print_line(f"job {job.job_id} is left to run {job.run_id}, which works on it", err=True)
    return {job.job_id for job in busy}


def _changes(changed: dict[str, Any]) -> SceneChanges:
    from pydantic import ValidationError

    try:
        changes = SceneChanges.model_validate(changed, extra="forbid")
    except ValidationError as error:
        raise InputError(describe(error)) from None
    check_words(changes)
    return changes


def _run(flow_name: str, parameters: dict[str, Any], settings: Settings, *, as_json: bool, verbose: bool) -> int:
    records = open_records(settings)
    jobs: list[str] = []

    def watch(job_id: str) -> AbstractContextManager[None]:
        jobs.append(job_id)
        return nullcontext() if as_json else watching(records, [job_id])

    state = run_flow(flow_name, parameters, settings, watch, as_json=as_json, verbose=verbose)
    if records.job(jobs[0]) is None:
        raise state.data if isinstance(state.data, AdreelError) else AdreelError(state.message or "the run failed")
    view = job_view(records, jobs[0])
    show_job(view, as_json=as_json)
    if not as_json:
        if view.overall_status == State.COMPLETED:
            print_line(f"Rerun one scene:  adreel regenerate {view.session_id} {view.scenes[0].scenario}")
        show_actions(records, settings, [view])
    return 0 if view.overall_status == State.COMPLETED else 1


def run_flow(
    flow_name: str, parameters: dict[str, Any], settings: Settings, watch: Watch, *, as_json: bool, verbose: bool
) -> "FlowState[Any]":
    """Run a flow in this process, and say before what may cost; `watch` is entered with the run's id."""
    unify_proxies()
    if not as_json and settings.is_local:
        # Only an empty variable keeps the task from looking for a key in Prefect: else the claim would be too large.
        mentioned = "runware_api_key" in settings.model_fields_set
        unless = "" if mentioned else ", unless Prefect holds a Secret block runware-api-key"
        print_line(f"No RUNWARE_API_KEY: the local Runware renders, nothing is spent{unless}. Starting Prefect ...")
    from adreel.orchestration.errors import prefect_errors

    with prefect_errors():
        flow, run_here = _load_prefect(flow_name, verbose=verbose)
    return run_here(flow, parameters, watch)


def _load_prefect(flow_name: str, *, verbose: bool) -> "tuple[Flow[..., Any], RunHere]":
    if not verbose:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # Nothing here reports to Prefect's makers: the demo has to work without a network.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from adreel.flows import generate_ad, generate_campaign, regenerate_scene, resume
    from adreel.orchestration.runs import run_here

    flows: dict[str, Flow[..., Any]] = {
        "generate_ad": generate_ad.generate_ad,
        "generate_campaign": generate_campaign.generate_campaign,
        "regenerate_scene": regenerate_scene.regenerate_scene,
        "resume": resume.resume,
    }
    return flows[flow_name], run_here
