"""The spend of takes, as their records tell it."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import NamedTuple
from urllib.parse import urlsplit

from adreel.errors import AdreelError, SessionDeleted, StorageUnavailable, collect_errors
from adreel.models.parts import PARTS, Part
from adreel.models.scenarios import Scenario
from adreel.models.spend_totals import Spend
from adreel.models.takes import AttemptState, Choices, Take
from adreel.records import Records
from adreel.records.views import current_take
from adreel.settings import LOOPBACK


class TakeSpend(NamedTuple):
    """A take for which something was sent, and whether its ad uses it."""

    take: Take
    spend: Spend
    is_used: bool


@dataclass(frozen=True)
class SessionSpend:
    """The takes of a session that count in reports. It is finished if each scene has a clip."""

    session_id: str
    is_finished: bool
    takes: list[TakeSpend]
    unreadable: list[AdreelError] = field(default_factory=list)


def session_spend(
    session_id: str, scenarios: Collection[Scenario], choices: Choices, takes: Mapping[Part, list[Take]]
) -> SessionSpend:
    """Return the spend of a session with these scenes and takes, the oldest first."""
    found: list[TakeSpend] = []
    finished = 0
    for scenario, of_scene in takes.items():
        current = current_take(of_scene, choices)
        finished += current is not None and scenario in scenarios
        for take in of_scene:
            if spend := spend_of(take):
                found.append(TakeSpend(take, spend, take is current or take.is_open))
    return SessionSpend(session_id, finished == len(scenarios), found)


def read_session_spend(records: Records, session_id: str) -> SessionSpend:
    """Read the spend of a session; unreadable records are named and left out. StorageUnavailable passes through."""
    unreadable: list[AdreelError] = []
    scenarios, choices = list(Scenario), Choices(takes={})
    with collect_errors(unreadable), suppress(SessionDeleted):
        scenarios = records.session(session_id).scenarios
    with collect_errors(unreadable):
        choices = records.choices(session_id)
    takes: dict[Part, list[Take]] = {}
    for scenario in PARTS:
        with collect_errors(unreadable):
            takes[scenario] = records.takes(session_id, scenario, unreadable)
    for error in unreadable:
        if isinstance(error, StorageUnavailable):
            raise error
    found = session_spend(session_id, scenarios, choices, takes)
    return SessionSpend(session_id, found.is_finished, found.takes, unreadable)


def spend_of(take: Take) -> Spend | None:
    """Return what a take has cost; None if nothing was sent for it."""
    sent = [attempt for attempt in take.attempts if attempt.state != AttemptState.PLANNED]
    if not sent:
        return None
    costs = take.attempt_costs
    estimate = take.price.amount if take.price else None
    # A refused task was never going to be billed.
    expected = sum(cost is None or cost > 0 for cost in costs)
    return Spend(
        day=(sent[-1].accepted_at or sent[-1].created_at).astimezone(UTC).date(),
        model=take.request.model,
        scene=take.scenario.value,
        campaign=take.campaign,
        is_local=is_local(take),
        clips=take.is_stored,
        estimated=(estimate or 0) * expected,
        without_estimate=estimate is None and expected > 0,
        billed=take.billed,
        unknown=None in costs,
    )


def take_key(take: Take) -> str:
    """Return what identifies a take among those that are pruned."""
    return f"{take.session_id}/{take.scenario.value}/{take.job_id}"


def is_local(take: Take) -> bool:
    """Whether the emulator rendered a take, so that its cost is no money."""
    if take.price is not None:
        return take.price.source == "emulator"
    # Records of earlier versions have no price. The emulator's clips come from this machine.
    return any(attempt.url and urlsplit(attempt.url).hostname in LOOPBACK for attempt in take.attempts)
