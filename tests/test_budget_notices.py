"""A budget that is nearly used up is told once, as an event of Prefect."""

from typing import Any

import pytest
from prefect.client.orchestration import get_client

from adreel.emulator import LocalRunware
from adreel.flows.generate_ad import generate_ad
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.spend.budgets import Budgets
from tests.factories import make_session
from tests.runs import run
from tests.workers import until

pytestmark = pytest.mark.usefixtures("prefect", "runware")


def events_of(budget: str) -> list[dict[str, Any]]:
    asked = {"filter": {"resource": {"id": [f"adreel.budget.{budget}"]}}}
    with get_client(sync_client=True) as client:
        return [each["payload"] for each in client.request("POST", "/events/filter", json=asked).json()["events"]]


def test_a_run_that_uses_most_of_a_budget_emits_an_event(runware: LocalRunware, records: Records) -> None:
    records.save_session(make_session(session_id="nearly-used-up", seconds=1))
    budget = "session:nearly-used-up"
    Budgets(records).set(budget, 8_000)
    run(generate_ad, session_id="nearly-used-up", scenarios=[Scenario.HOOK])
    [told] = until(lambda: events_of(budget), "an event", patience=30)
    assert (told["budget"], told["period"], told["percent"], told["cap"]) == (budget, "all", 70, 0.008)
    assert 0.0056 <= told["held"] + told["spent"] < 0.0072
