"""The flow that generates the scenes of an ad."""

from typing import Any

from prefect import flow, unmapped
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Completed

from adreel.errors import InputError, OverBudget
from adreel.flows.forms import ChosenParts, ClipPrice, MaxCost, MayBeEmpty, unpack_json
from adreel.flows.jobs import Outcome, job_run, refused
from adreel.flows.options import FLOW_OPTIONS, name_run
from adreel.models.cuts import CUT_FAILED
from adreel.models.sessions import parse_session
from adreel.tasks.generate_scene import generate_scene


def _run_name() -> str:
    given = flow_run.parameters
    session_id = (given.get("session_id") or "").strip()
    try:
        return name_run(session_id or str(_with_id(unpack_json(given.get("session"), "session"))["session_id"]))
    except InputError:
        return str(flow_run.name)


@flow(name="generate-ad", flow_run_name=_run_name, **FLOW_OPTIONS)
def generate_ad(  # noqa: PLR0917 - its parameters are a form
    session_id: str = "",
    session: MayBeEmpty[dict[str, Any]] = None,
    scenarios: ChosenParts = None,
    cut: bool = True,
    max_cost: MaxCost = 0,
    clip_price: ClipPrice = 0,
) -> Outcome:
    """Generate the clips of an ad, and make the finished ad of them.

    Args:
        session_id: The id of a stored session. Leave it empty to give a new session below.
        session: A new session as JSON, in place of {}. The command "adreel schema" explains its fields.
        scenarios: The parts to buy: clips by their scene, narrations (voice), music and stills. If none is chosen, the
            four clips, and the narrations and the music if the session asks for them.
        cut: Make the finished ad once all four scenes have a clip.
        max_cost: Most USD to spend on the clips, retries included. 0 is no limit.
        clip_price: USD of each clip whose price is unknown. Such a clip is refused under a limit without it.
    """
    session_id, given = session_id.strip(), unpack_json(session, "session")
    if bool(session_id) == bool(given):
        raise InputError("give either session_id (a stored session) or session (a new one as JSON), not both")
    new = parse_session(_with_id(given)) if given else None
    with job_run() as run:
        try:
            named = new.session_id if new else session_id
            job = run.start_job(
                named, scenarios or None, new=new, max_cost=max_cost or None, clip_price=clip_price or None
            )
        except OverBudget as error:
            return refused(error)
        with run.scenes_in_flight():
            # `wait` returns when all scenes have ended. `result` would raise at the first failure.
            wait(generate_scene.map(unmapped(job), job.scenarios))
        outcome = run.finish([(job, job.scenarios)])
        if cut and isinstance(outcome, list) and (reason := run.cut(job.session_id)):
            return Completed(name=CUT_FAILED, message=f"The clips are stored. No finished ad was made: {reason}")
        return outcome


def _with_id(session: dict[str, Any]) -> dict[str, Any]:
    # A retried run derives the same id.
    return {"session_id": f"ad-{str(flow_run.id)[-12:]}", **session}
