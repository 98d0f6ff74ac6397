"""Orders over HTTP under budgets: refused as a whole with 402, before anything is started."""

import json

import httpx

from adreel.errors import OverBudget
from adreel.web.problems import BudgetProblemDetails, problem_of

REFUSED = OverBudget(
    "the ad needs USD 1.40 and the budget day has USD 0.85 left",
    needed=1_400_000,
    left=850_000,
    budget="day",
    commands=["adreel budget set day 6"],
)


def test_a_refusal_for_money_is_a_402_with_sums_in_usd() -> None:
    answer = problem_of(REFUSED).response("/api/videos/generate-scenes")
    assert answer.status_code == 402
    details = BudgetProblemDetails.model_validate(json.loads(bytes(answer.body)))
    assert (details.type, details.detail) == ("urn:adreel:problem:overBudget", str(REFUSED))
    assert (details.needed, details.left, details.budget, details.next) == (1.4, 0.85, "day", list(REFUSED.next))


def test_an_unknown_price_is_null_in_a_refusal() -> None:
    answer = problem_of(OverBudget("the price is unknown", budget="day")).response("/")
    assert json.loads(bytes(answer.body))["needed"] is None


def test_only_routes_that_buy_can_refuse_for_money(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    refusing = {
        path for path, calls in document["paths"].items() for call in calls.values() if "402" in call["responses"]
    }
    assert {path.rpartition("/videos/")[2] for path in refusing} == {
        "generate-scenes",
        "regenerate-scene",
        "resume/{job_id}",
    }
    schema = document["components"]["schemas"]["BudgetProblemDetails"]
    assert {"needed", "left", "budget", "next"} <= set(schema["required"])
