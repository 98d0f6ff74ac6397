"""The flow that buys one scene anew; the other scenes and the earlier takes stay as they are."""

from prefect import flow

from adreel.flows.cancelling import end_cancelled, end_crashed
from adreel.flows.forms import MayBeEmpty
from adreel.flows.jobs import Outcome, run_job
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges, refuse_local_file
from adreel.orchestration.task_runner import OneLoopTaskRunner


@flow(
    name="regenerate-scene",
    flow_run_name="ad-{session_id}-{scenario}",
    task_runner=OneLoopTaskRunner(),
    persist_result=False,
    on_cancellation=[end_cancelled],
    on_crashed=[end_crashed],
)
def regenerate_scene(session_id: str, scenario: Scenario, changes: MayBeEmpty[SceneChanges] = None) -> Outcome:
    """Buy a new take of one scene.

    Args:
        session_id: The id of a stored session.
        scenario: The scene to buy anew.
        changes: What this take shall have otherwise; an empty field stays as it is described, and so does the session.
    """
    if changes is not None:
        refuse_local_file(changes.first_frame, f"scene {scenario}")
    return run_job(session_id, [scenario], changes)
