"""What the flows and the Python API do before they buy: store the session of an order."""

from adreel.errors import InputError
from adreel.models.api import WITHOUT_CLIP
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.models.takes import ClipRequest
from adreel.purchase.planning import plan_requests
from adreel.records import Records
from adreel.records.cut_inputs import check_files_of_cut, copy_files_of_cut
from adreel.records.inputs import copy_inputs
from adreel.settings import Settings


def store_for_generation(
    records: Records,
    settings: Settings,
    session: Session,
    scenarios: list[Scenario] | None,
    *,
    override_hint: str | None,
    campaign: str | None = None,
) -> dict[Scenario, ClipRequest]:
    """Store a complete session whose scenes are to be bought, in place of an earlier version.

    Returns the scenarios to buy with their requests. Raises InputError before anything is written if a scene can't be
    bought as described or has been bought before. `override_hint` tells a person how to buy all scenes again; None
    skips that check.
    """
    requests = plan_requests(session, session.choose(scenarios), settings, records.storage)
    check_files_of_cut(session.cut)
    earlier = records.take_ids(session.session_id)
    taken = [
        str(scenario)
        for scenario in requests
        if earlier[scenario]
        and any(take.state not in WITHOUT_CLIP or take.is_open for take in records.takes(session.session_id, scenario))
    ]
    if taken and override_hint is not None:
        raise InputError(
            f"session {session.session_id!r} has takes of {', '.join(taken)} already (adreel status"
            f" {session.session_id}): resume what is open with `adreel resume {session.session_id}`, buy one scene"
            f" again with `adreel regenerate {session.session_id} {taken[0]}`, or all of them with {override_hint}"
        )
    stored = copy_files_of_cut(records.storage, copy_inputs(records.storage, session, requests))
    records.save_session(stored, campaign)
    return requests
