"""The money of a request: held before its flow run exists, so that a refusal is its answer.

The hold has the name of the run's idempotency key. The run's job takes it over in the update that holds its tasks. A
run without such a hold reserves by itself, so a lost hold can refuse a run, but never pass a cap.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from adreel.models.scenarios import Scenario
from adreel.models.spend import Price, request_hold
from adreel.records import Records
from adreel.spend.accounts import Order, PricedTask
from adreel.spend.budgets import Budgets


@dataclass(frozen=True)
class Quote:
    """The prices of the clips that a request would buy."""

    session_id: str
    campaign: str | None
    prices: Mapping[Scenario, Price]
    max_cost: int | None = None
    """In micro-dollars."""


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
    )
    holds = Budgets(records).reserve(order).holds
    return holds.mark if holds else None
