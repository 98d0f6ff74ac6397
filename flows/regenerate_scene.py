"""The flow that buys a new take of one scene. Other scenes and earlier takes stay as they are."""

from prefect import flow, unmapped
from prefect.futures import wait
from prefect.runtime import flow_run

from adreel.errors import OverBudget
from adreel.flows.forms import ClipPrice, MaxCost, MayBeEmpty, PartChoice, unpack_json
from adreel.flows.jobs import Outcome, job_run, refused
from adreel.flows.options import FLOW_OPTIONS, name_run
from adreel.models.parts import find_part, label_of
from adreel.models.sessions import SceneChanges, refuse_local_files
from adreel.tasks.generate_scene import generate_scene


def _run_name() -> str:
    given = flow_run.parameters
    return f"{name_run(str(given['session_id']))}-{find_part(given['scenario'])}"


@flow(name="regenerate-scene", flow_run_name=_run_name, **FLOW_OPTIONS)
def regenerate_scene(
    session_id: str,
    scenario: PartChoice,
    changes: MayBeEmpty[SceneChanges] = None,
    max_cost: MaxCost = 0,
    clip_price: ClipPrice = 0,
) -> Outcome:
    """Buy a new take of one scene, of its narration or still, or of the music.

    Args:
        session_id: The id of a stored session.
        scenario: The part to buy again. The clip of a scene has the name of the scene.
        changes: Overrides for the new take. Empty fields keep the session's values, and the session does not change.
        max_cost: Most USD to spend on the clip, retries included. 0 is no limit.
        clip_price: USD of the clip if its price is unknown. Such a clip is refused under a limit without it.
    """
    if changes is not None:
        if changes.settings is not None:
            changes.settings = unpack_json(changes.settings, "settings") or None
        refuse_local_files(changes, label_of(scenario))
    with job_run() as run:
        try:
            job = run.start_job(
                session_id, [scenario], changes, max_cost=max_cost or None, clip_price=clip_price or None
            )
        except OverBudget as error:
            return refused(error)
        with run.scenes_in_flight():
            wait(generate_scene.map(unmapped(job), job.scenarios))
        return run.finish([(job, job.scenarios)])
