"""The money of a request: priced and held before its flow run exists, so that a refusal is its answer.

The hold has the name of the run's idempotency key. The run's job takes it over in the update that holds its tasks. A
run without such a hold reserves by itself, so a lost hold can refuse a run, but never pass a cap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adreel.models.parts import Part
from adreel.models.sessions import SceneChanges
from adreel.models.spend import Price, request_hold, to_micros
from adreel.models.takes import Job
from adreel.purchase.planning import plan_requests
from adreel.records import Records, StoredSession
from adreel.settings import Settings
from adreel.spend.accounts import Order, PricedTask
from adreel.spend.budgets import Budgets, spent_on
from adreel.spend.prices import price


@dataclass(frozen=True)
class Quote:
    """The prices of the clips that a request would buy."""

    session_id: str
    campaign: str | None
    prices: Mapping[Part, Price]
    max_cost: int | None = None
    """In micro-dollars."""
    spent: Mapping[str, int] = field(default_factory=dict)
    """With `max_cost`: what the job's earlier tasks have cost, by taskUUID."""


def quote_parts(
    records: Records,
    settings: Settings,
    session: StoredSession,
    parts: Sequence[Part],
    changes: SceneChanges | None = None,
    *,
    max_cost: float | None = None,
    clip_price: float | None = None,
) -> Quote:
    """Price a take of each part, or raise InputError if one can't be bought as described.

    `max_cost` and `clip_price`, that of a clip whose price is unknown, are in USD. Local images are not opened: they
    may be files that only the machine of the worker can read.
    """
    requests = plan_requests(session, parts, settings, records.storage, changes, checks_files=False)
    prices: dict[Part, Price] = {
        scenario: price(request, records.storage, given=to_micros(clip_price)) for scenario, request in requests.items()
    }
    return Quote(session.session_id, session.campaign, prices, to_micros(max_cost))


def quote_resume(records: Records, settings: Settings, job: Job) -> Quote | None:
    """Price the scenes of a job that a resume would send; None if it has open clips.

    These are downloaded whatever is left, and the run itself asks for the money of the other scenes.
    """
    takes = [records.take(job.session_id, scenario, job.job_id) for scenario in job.scenarios]
    recorded = [take for take in takes if take is not None]
    if len(recorded) < len(takes) or any(take.is_open for take in recorded):
        return None
    unsent = [take for take in recorded if take.unsent_task(settings.attempts * job.rounds)]
    prices = {
        take.scenario: take.price
        if take.price and take.price.amount is not None
        else price(take.request, records.storage, given=job.clip_price)
        for take in unsent
    }
    return Quote(job.session_id, job.campaign, prices, job.max_cost, spent_on(recorded))


def hold_quote(records: Records, key: str, quote: Quote) -> str | None:
    """Hold the money of a request and return the mark of the hold; None if no budget counts it.

    Raises OverBudget if it is not enough for all clips.
    """
    unknown = [str(scenario) for scenario, price in quote.prices.items() if price.amount is None]
    total = None if unknown else sum(price.amount or 0 for price in quote.prices.values())
    order = Order(
        session=quote.session_id,
        job="",
        tasks=(PricedTask(request_hold(key), ", ".join(unknown), total),),
        campaign=quote.campaign,
        key=key,
        max_cost=quote.max_cost,
        spent=quote.spent,
    )
    holds = Budgets(records).reserve(order).holds
    return holds.mark if holds else None
