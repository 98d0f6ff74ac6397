"""The spend of takes, as their records tell it."""

from datetime import UTC
from urllib.parse import urlsplit

from adreel.models.spend_totals import Spend
from adreel.models.takes import AttemptState, Take
from adreel.settings import LOOPBACK


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
