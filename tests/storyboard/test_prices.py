"""Prices on the buttons of a session's page: what each one buys, and nothing on those that buy nothing."""

from datetime import date, timedelta

import pytest

from adreel.models.budget_modes import BudgetMode
from adreel.models.scenarios import Scenario
from adreel.models.spend import MICROS, Price
from adreel.models.takes import AttemptState
from adreel.purchase.jobs import cancel_job, start_job
from adreel.records import Records
from adreel.service import Service
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from adreel.spend.prices import price
from adreel.web.pages.offers import wait_label
from adreel.web.pages.rendering import price_label
from tests.factories import make_session, make_take
from tests.storyboard.conftest import Orders, Visitor, visiting
from tests.storyboard.stories import failed, generating, stored, with_job

AD = "/sessions/ad"


def usd(records: Records, count: int) -> str:
    request = Service.preview(_service(records), make_session(), Scenario.HOOK)
    amount = price(request, records.storage).amount
    assert amount
    return f"about ${count * amount / MICROS:.2f}"


def _service(records: Records) -> Service:
    return Service(records, Settings(), None)  # type: ignore[arg-type]


def test_each_button_that_buys_names_its_price(visitor: Visitor, records: Records) -> None:
    page = visitor.read(AD)
    assert f"Generate the 4 clips , {usd(records, 4)}" in page.text
    assert "The emulator renders them: this costs no money." in page.text
    stored(records, Scenario.HOOK)
    text = visitor.read(AD).text
    assert f"Generate problem, solution and call to action , {usd(records, 3)}" in text
    assert f"Regenerate , {usd(records, 1)}" in text
    assert "Save ," not in text


def test_buttons_and_scenes_name_the_usual_time_of_own_clips(visitor: Visitor, records: Records) -> None:
    assert "usually" not in visitor.read(AD).text
    with_job(records)
    take = records.take("ad", Scenario.HOOK, "job-1")
    assert take is not None
    request = take.request
    take = make_take(session_id="earlier")
    take.request, take.price = request, Price(amount=1, source="emulator")
    take.updated_at = take.created_at + timedelta(seconds=118)
    records.save_session(make_session(session_id="earlier"))
    records.save_take(take)
    records.save_session(make_session(session_id="next"))
    visitor.read("/")
    text = visitor.read("/sessions/next").text
    assert f"Generate the 4 clips , {usd(records, 4)}, usually 2 min" in text
    text = visitor.read(AD).text
    assert text.startswith("(0/4) Lamp")
    assert "UTC Usually 2 min" in text


def test_a_finished_ad_says_that_it_is_paid_once(visitor: Visitor, records: Records) -> None:
    for scenario in Scenario:
        stored(records, scenario)
    assert "Cost $0.44 , paid once" in visitor.read(AD).text
    assert "paid once" not in visitor.read("/").text


@pytest.mark.parametrize(
    ("seconds", "label"), [(3, "a few seconds"), (48, "50 s"), (100, "2 min"), (3900, "1 h 5 min")]
)
def test_a_usual_time_is_rounded(seconds: float, label: str) -> None:
    assert wait_label(seconds) == label


def test_a_resume_names_the_price_of_the_clips_that_it_buys(visitor: Visitor, records: Records) -> None:
    with_job(records)
    for scenario in Scenario:
        generating(records, scenario, AttemptState.RENDERED if scenario == Scenario.CTA else AttemptState.SUBMITTED)
        failed(records, scenario, "no credits left")
    text = visitor.read(AD).text
    assert text.count(f"Resume , {usd(records, 3)}") == 4


def test_a_resume_that_only_downloads_has_no_price(visitor: Visitor, records: Records) -> None:
    with_job(records)
    for scenario in Scenario:
        generating(records, scenario, AttemptState.RENDERED)
        failed(records, scenario, "disk full")
    text = visitor.read(AD).text
    assert text.count("Resume") == 4
    assert "Resume ," not in text


def test_the_page_says_what_the_budgets_of_its_session_have_left(visitor: Visitor, records: Records) -> None:
    budgets = Budgets(records)
    budgets.set("day", 5_000_000)
    budgets.set("session:ad", 2_000_000)
    budgets.set("session:other", 1_000_000)
    text = visitor.read(AD).text
    assert "Left today: $5.00 of $5.00 Left for this ad: $2.00 of $2.00" in text
    assert "$1.00" not in text


def test_a_button_over_budget_says_so_and_can_not_be_pressed(visitor: Visitor, records: Records) -> None:
    stored(records, Scenario.HOOK)
    budgets = Budgets(records)
    budgets.set("all", 1_000_000)
    page = visitor.read(AD)
    generate = page.by_id("generate")
    assert "disabled" in generate
    assert "disabled" not in page.by_id("hook-regenerate")
    assert page.by_id(generate["aria-describedby"])["class"] == "hint refusal"
    assert "Needs $1.89; the budget for all ads has $0.89 left." in page.text
    assert page.text.count("ask the person who manages the budgets here to raise it") == 1
    for cap, mode in ((9_000_000, BudgetMode.CAP), (1_000, BudgetMode.WARN)):
        budgets.set("all", cap, mode)
        assert "disabled" not in visitor.read(AD).by_id("generate")


@pytest.mark.parametrize("is_ordered", [True, False])
def test_only_a_resume_that_downloads_is_offered_over_budget(
    visitor: Visitor, records: Records, *, is_ordered: bool
) -> None:
    with_job(records)
    for scenario in Scenario:
        if is_ordered and scenario == Scenario.CTA:
            generating(records, scenario, AttemptState.RENDERED)
        failed(records, scenario, "disk full")
    Budgets(records).set("all", 1_000)
    assert ("disabled" in visitor.read(AD).by_id("hook-remedy")) is not is_ordered


def test_a_limit_of_an_order_is_kept_as_it_was_typed(visitor: Visitor, records: Records, orders: Orders) -> None:
    button = "Generate the 4 clips"
    page = visitor.read(AD)
    for typed, status, says in (
        ("1,50", 402, "Needs $2.52; your limit has $1.50 left. Nothing was bought. Enter a higher limit"),
        ("much", 422, "Spend at most: enter an amount in dollars"),
    ):
        page = visitor.press(page.form(f"{AD}/generate", button), button, status, max_cost=typed)
        assert says in page.text
        assert page.by_id("generate-limit")["value"] == typed
    assert orders.parameters == []
    for typed in ("$2.60", "2.6"):
        visitor.press(page.form(f"{AD}/generate", button), button, max_cost=typed)
    page = visitor.press(page.form(f"{AD}/generate", button), button, 409, max_cost="3")
    assert "These clips are ordered already, with another limit." in page.text
    assert [order["max_cost"] for order in orders.parameters] == [2.6]


def test_a_resume_offers_the_limit_of_its_job(visitor: Visitor, records: Records, orders: Orders) -> None:
    cancel_job(records, start_job(records, Settings(), "job-1", "ad", max_cost=2_520_000))
    form = visitor.read(AD).form(f"{AD}/jobs/job-1/resume", "Resume")
    assert form.fields["max_cost"] == "2.52"
    visitor.press(form, "Resume", max_cost="3")
    assert orders.parameters == [{"target": "job-1", "max_cost": 3.0}]


def test_a_refusal_is_told_in_words_with_the_way_out(visitor: Visitor, records: Records, orders: Orders) -> None:
    form = visitor.read(AD).form(f"{AD}/generate", "Generate the 4 clips")
    Budgets(records).set("day", 10_000)
    page = visitor.press(form, "Generate the 4 clips", 402)
    assert "Needs $2.52; today's budget has $0.01 left. Nothing was bought. To go on, ask the person" in page.text
    assert "adreel budget" not in page.text
    assert orders.parameters == []
    stored(records, Scenario.HOOK)
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Regenerate")
    page = visitor.press(form, "Regenerate", 402, visual_description="a moth")
    assert "Nothing was bought." in page.text
    assert records.session("ad").scene(Scenario.HOOK).visual_description == "a moth"
    Budgets(records).set("day", 10_000_000)
    visitor.press(page.form(f"{AD}/scenes/hook", "Regenerate"), "Regenerate")
    assert [order["scenario"] for order in orders.parameters] == ["hook"]


@pytest.mark.parametrize(
    ("amounts", "label"),
    [
        ([350_000] * 4, "about $1.40"),
        ([None], "price unknown"),
        ([350_000, None], "at least $0.35, some prices are unknown"),
        ([400, 500], "less than $0.01"),
        ([0], "about $0.00"),
    ],
)
def test_an_unknown_price_and_less_than_a_cent_are_not_free(amounts: list[int | None], label: str) -> None:
    day = date(2026, 11, 25)
    assert price_label([Price(amount=amount, source="listed", as_of=day) for amount in amounts]) == label


def test_a_model_without_a_known_price_says_so(
    records: Records, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_CATALOG", "unchecked")
    records.save_session(make_session(model="nobody:1@1"))
    with visiting(orders) as client:
        assert "Generate the 4 clips , price unknown" in Visitor(client).read(AD).text
