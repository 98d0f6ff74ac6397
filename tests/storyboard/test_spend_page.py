"""The page of spend: the numbers of `adreel spend`, a filter by plain addresses, budgets, and the table as a file."""

import csv
import io
import json
from datetime import date, timedelta
from itertools import product

import pytest
from typer.testing import CliRunner

from adreel.cli.app import app
from adreel.models.budget_modes import BudgetMode
from adreel.models.scenarios import Scenario
from adreel.models.spend import MICROS, Price
from adreel.models.spend_groups import Group
from adreel.records import Records
from adreel.spend.budgets import Budgets
from adreel.web.pages.spend_page import SpendFilters, periods
from tests.factories import NOW, make_session, make_take
from tests.storyboard.conftest import Visitor

DAY = NOW.date()


@pytest.fixture(autouse=True)
def _takes(records: Records) -> None:
    records.save_session(make_session())
    for scenario in Scenario:
        take = make_take(scenario=scenario, cost=0.25)
        take.campaign, take.price = "spring", Price(amount=MICROS // 5, source="listed")
        records.save_take(take)
    records.save_take(make_take(job_id="job-0", minute=-5, cost=0.5))
    local = make_take(session_id="other", minute=24 * 60, cost=0.1)
    local.price = Price(amount=1, source="emulator")
    records.save_session(make_session(session_id="other", product_name="Torch & Co"))
    records.save_take(local)


def test_the_file_and_the_api_have_the_numbers_of_the_command(visitor: Visitor) -> None:
    for by, since in product(Group, (None, DAY + timedelta(days=1))):
        words = ["spend", "--by", by, *(["--since", f"{since}"] if since else [])]
        query = f"by={by}{f'&since={since}' if since else ''}"
        told = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).output
        found, served = json.loads(told), visitor.client.get(f"/api/spend?{query}").json()
        for part, of in ((found, served), (found["emulator"], served["emulator"])):
            assert [{"name": row.pop(by), **row} for row in part["rows"]] == of["rows"]
            assert {"name": "total", **part["total"]} == of["total"]
        answer = visitor.client.get(f"/spend.csv?{query}")
        assert answer.text == CliRunner().invoke(app, [*words, "--csv"], catch_exceptions=False).output
        assert answer.headers["Content-Disposition"] == f'attachment; filename="spend-by-{by}.csv"'


def test_the_table_names_ads_by_their_product_and_leads_to_them(visitor: Visitor) -> None:
    page = visitor.read("/spend?by=session")
    assert "Torch & Co" in page.text
    assert {"/sessions/ad", "/sessions/other"} <= {link["href"] for link in page.all("a")}
    assert "Billed $1.50 Finished ads 1 of 1 Per finished ad $1.50 Takes that no ad uses 1 $0.50" in page.text
    assert "Rendered by the emulator: no money" in page.text
    assert "/campaigns/spring" in {link["href"] for link in visitor.read("/spend").all("a")}


def test_a_period_is_an_address(visitor: Visitor) -> None:
    after = visitor.read(f"/spend?by=day&since={DAY + timedelta(days=9)}&until=")
    assert "No money was spent in this period." in after.text
    assert "exchange the two days" in visitor.read("/spend?since=2026-11-02&until=2026-11-01", 422).text
    assert visitor.client.get("/spend.csv?since=2026-11-02&until=2026-11-01").status_code == 422
    file = visitor.client.get(f"/spend.csv?by=day&until={DAY}").text
    assert [row["day"] for row in csv.DictReader(io.StringIO(file))] == [f"{DAY}"]


def test_a_budget_shows_what_it_has_left(visitor: Visitor, records: Records) -> None:
    budgets = Budgets(records)
    budgets.set("all", 2_000_000)
    budgets.set("session:ad", 1_000_000, BudgetMode.WARN)
    text = visitor.read("/spend").text
    assert "All ads $0.40 left of $2.00 $1.60 spent refuses what is over it" in text
    assert "$0.50 over $1.00 $1.50 spent warns only" in text


def test_the_periods_are_of_whole_months() -> None:
    offered = {period.label: period.query for period in periods(SpendFilters(), date(2026, 3, 5))}
    assert offered["Last month"] == "by=campaign&since=2026-02-01&until=2026-02-28"
    assert offered["This month"] == "by=campaign&since=2026-03-01"
