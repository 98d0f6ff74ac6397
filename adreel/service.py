"""A session that comes as a whole, from a file or a form: it is stored, unless that leads to paying twice."""

from adreel.errors import InputError
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.purchase.request import clip_request
from adreel.records import Records
from adreel.records.inputs import copy_inputs
from adreel.settings import Settings


def store_new(
    records: Records, settings: Settings, session: Session, scenarios: list[Scenario] | None, *, all_anew: str | None
) -> list[Scenario]:
    """Store a session whose scenes are to be bought, in place of an earlier version, and return their scenarios.

    InputError, before anything is written, if a scene can't be bought as it is described, or has been bought already.
    The latter names `all_anew`, the way to buy all of them again; None allows it.
    """
    chosen = session.choose(scenarios)
    for scenario in chosen:
        clip_request(session, session.scene(scenario), settings)
    if all_anew is not None:
        _refuse_to_pay_twice(records, session, chosen, all_anew)
    records.save_session(copy_inputs(records.storage, session))
    return chosen


def _refuse_to_pay_twice(records: Records, session: Session, chosen: list[Scenario], all_anew: str) -> None:
    taken = [
        str(scenario)
        for scenario in chosen
        if any(take.state != State.FAILED or take.is_open for take in records.takes(session.session_id, scenario))
    ]
    if taken:
        raise InputError(
            f"session {session.session_id!r} has takes of {', '.join(taken)} already (adreel status"
            f" {session.session_id}): take up what is open with `adreel resume {session.session_id}`, buy one scene"
            f" anew with `adreel regenerate {session.session_id} {taken[0]}`, or all of them with {all_anew}"
        )
