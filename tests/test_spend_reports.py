"""Reports of spend: they say what the records of takes say, to the micro-dollar."""

import csv
import io
import json
import time
from datetime import date, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from adreel.cli.app import app
from adreel.index import SessionIndex, read_report, usual_seconds
from adreel.models.scenarios import Scenario
from adreel.models.spend import MICROS, Price
from adreel.models.spend_groups import Group
from adreel.models.takes import AttemptState, Job, Take
from adreel.records import Records
from adreel.records.pruning import prunable, prune
from adreel.records.spend import spend_of, take_key
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from adreel.spend.reports import build_report
from adreel.storage import Storage
from adreel.web.metrics import Metrics, RecordsCollector
from tests.factories import NOW, make_session, make_take, save_job
from tests.storage.servers import S3Server

HOOK, PROBLEM, SOLUTION, CTA = Scenario
DAY = NOW.date()


def keep(records: Records, take: Take, estimate: float | None = None, campaign: str | None = None) -> None:
    take.campaign = campaign
    take.price = None if estimate is None else Price(amount=round(estimate * MICROS), source="listed")
    records.save_take(take)


@pytest.fixture(params=["local disk", pytest.param("S3", marks=pytest.mark.slow)])
def records(request: pytest.FixtureRequest, records: Records, monkeypatch: pytest.MonkeyPatch) -> Records:
    """Give a finished ad of a campaign with an unused take, and an ad of which one bill is not known yet."""
    if request.param == "S3":
        s3: S3Server = request.getfixturevalue("s3")
        monkeypatch.setenv("ADREEL_STORAGE", s3.bucket())
        monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", s3.environment["ADREEL_STORAGE_OPTIONS"])
        records = Records(Storage.from_settings(Settings.load()))
    records.save_session(make_session(session_id="lamp"), "spring")
    for scenario in Scenario:
        keep(records, make_take(scenario=scenario, session_id="lamp", cost=0.25), 0.2, "spring")
    keep(records, make_take(session_id="lamp", job_id="job-0", minute=-5, cost=0.5), 0.2, "spring")
    records.save_session(make_session(session_id="torch"))
    keep(records, make_take(session_id="torch", job_id="job-2", cost=0.1))
    keep(records, make_take(AttemptState.ACCEPTED, session_id="torch", job_id="job-2", scenario=CTA, minute=1440), 0.3)
    keep(records, make_take(AttemptState.PLANNED, session_id="torch", job_id="job-2", scenario=PROBLEM), 0.3)
    for job_id, session_id, scenarios in (
        ("job-0", "lamp", [HOOK]),
        ("job-1", "lamp", list(Scenario)),
        ("job-2", "torch", [HOOK, PROBLEM, CTA]),
    ):
        save_job(records, Job(job_id=job_id, session_id=session_id, scenarios=scenarios, created_at=NOW))
    return records


def scraped(collector: RecordsCollector) -> dict[tuple[str, str], float]:
    """Return the metric of what was spent, by model and campaign."""
    while not collector.read():
        pass
    [spend] = [family for family in collector.collect() if family.name == "adreel_spend_usd"]
    return {(sample.labels["model"], sample.labels["campaign"]): sample.value for sample in spend.samples}


def report(*words: str) -> Any:
    ran = CliRunner().invoke(app, ["spend", "--json", *words], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.output)


@pytest.mark.usefixtures("records")
class TestOverTheTakes:
    def test_a_campaign_has_its_ads_clips_estimate_bill_and_unused_takes(self) -> None:
        found = report("--by", "campaign")
        none, spring = found["rows"]
        assert spring == {
            "campaign": "spring",
            "ads": 1,
            "finished": 1,
            "takes": 5,
            "clips": 5,
            "estimated": 1.0,
            "without_estimate": 0,
            "billed": 1.5,
            "unknown": 0,
            "unused": 1,
            "unused_billed": 0.5,
            "per_finished": 1.5,
        }
        assert (none["campaign"], none["billed"], none["unknown"], none["without_estimate"]) == ("-", 0.1, 1, 1)
        assert (none["finished"], none["per_finished"]) == (0, None)
        assert found["total"]["ads"] == 2
        assert found["emulator"]["rows"] == []

    @pytest.mark.parametrize("by", Group)
    def test_each_grouping_sums_up_to_the_takes(self, records: Records, by: Group) -> None:
        takes = [
            take
            for session_id in records.session_ids()
            for scenario in Scenario
            for take in records.takes(session_id, scenario)
        ]
        found = report("--by", by)
        spent = [spend for take in takes if (spend := spend_of(take))]
        for rows in (found["rows"], [found["total"]]):
            assert round(sum(row["billed"] for row in rows) * MICROS) == sum(spend.billed for spend in spent)
            assert sum(row["clips"] for row in rows) == sum(take.is_stored for take in takes)
            assert sum(row["unknown"] for row in rows) == 1

    def test_the_metric_is_the_report_before_and_after_a_prune(self, records: Records) -> None:
        collector = RecordsCollector(SessionIndex(records))
        spent = scraped(collector)
        assert spent == {("bytedance:2@2", "spring"): 1.5, ("bytedance:2@2", ""): 0.1}
        [unused] = list(prunable(records, NOW + timedelta(days=9)))
        prune(records, unused)
        # The collector keeps what it knows of completed jobs.
        assert scraped(collector) == scraped(RecordsCollector(SessionIndex(records))) == spent
        assert report()["total"]["billed"] == 1.6
        for take in list(prunable(records, NOW + timedelta(days=9), keep_current=False)):
            prune(records, take, keep_current=False)
        assert scraped(collector) == scraped(RecordsCollector(SessionIndex(records))) == spent
        assert report()["total"]["billed"] == 1.6

    def test_a_large_prune_between_two_scrapes_counts_once(
        self, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("adreel.models.spend_totals.RECENT", 1)
        collector = RecordsCollector(SessionIndex(records))
        spent = scraped(collector)
        for take in list(prunable(records, NOW + timedelta(days=9), keep_current=False)):
            prune(records, take, keep_current=False)
        assert scraped(collector) == spent

    def test_a_take_that_is_being_pruned_counts_once(self, records: Records) -> None:
        collector = RecordsCollector(SessionIndex(records))
        spent = scraped(collector)
        take = records.takes("lamp", HOOK)[0]
        spend = spend_of(take)
        assert spend is not None
        records.update_pruned_spend(lambda pruned: pruned.with_removing(take_key(take), spend))
        # Its own record is still there.
        assert scraped(collector) == scraped(RecordsCollector(SessionIndex(records))) == spent
        assert report()["total"]["billed"] == 1.6

    def test_the_index_reports_what_the_takes_say_before_and_after_a_prune(self, records: Records) -> None:
        index, day = SessionIndex(records), DAY + timedelta(days=1)

        def compare() -> None:
            for by in Group:
                for since, until in ((None, None), (day, None), (None, DAY), (DAY, day)):
                    assert read_report(index, by, since, until) == build_report(records, by, since, until)

        index.update()
        compare()
        [unused] = list(prunable(records, NOW + timedelta(days=9)))
        prune(records, unused)
        compare()
        take = records.takes("torch", HOOK)[0]
        spend = spend_of(take)
        assert spend is not None
        records.update_pruned_spend(lambda pruned: pruned.with_removing(take_key(take), spend))
        compare()
        index.update()
        compare()

    def test_what_a_budget_has_left_is_a_metric(self, records: Records) -> None:
        Budgets(records).set("all", 3_000_000)
        metrics = Metrics(SessionIndex(records))
        while b"adreel_budget_left_usd{" not in (text := metrics.text()):
            time.sleep(0.01)
        [left] = [line for line in text.decode().splitlines() if line.startswith("adreel_budget_left_usd{")]
        # 1.60 are billed. Of two clips for 0.30 one still renders, and the other is still to be sent.
        assert left == 'adreel_budget_left_usd{budget="all"} 0.8'

    def test_a_period_is_of_the_utc_days_of_the_orders(self) -> None:
        assert report("--by", "day")["rows"][1]["day"] == f"{DAY + timedelta(days=1)}"
        assert report("--since", f"{DAY + timedelta(days=1)}")["total"]["takes"] == 1
        assert report("--until", f"{DAY}", "--by", "session")["total"]["takes"] == 6
        assert report("--since", f"{DAY + timedelta(days=2)}")["rows"] == []


def test_an_unreadable_take_is_named_and_the_others_are_counted(storage: Storage) -> None:
    records = Records(storage)
    records.save_session(make_session())
    for minute, job_id in enumerate(("job-1", "job-2")):
        keep(records, make_take(job_id=job_id, minute=minute))
    storage.write("sessions/ad/takes/hook/job-1.json", b"{")
    found = build_report(records, Group.MODEL)
    assert found.money.total.billed == 110_000
    [error] = found.unreadable
    assert "job-1.json" in str(error)
    index = SessionIndex(records)
    index.update()
    assert read_report(index, Group.MODEL).money == found.money
    ran = CliRunner().invoke(app, ["spend"])
    assert ran.exit_code == 1


def test_local_renders_are_marked_as_no_money(storage: Storage) -> None:
    records = Records(storage)
    records.save_session(make_session())
    marked, older = make_take(), make_take(job_id="job-2", minute=1)
    marked.price = Price(amount=100_000, source="emulator")
    older.attempts[-1].url = "http://127.0.0.1:8787/clips/1.mp4"
    for take in (marked, older):
        records.save_take(take)
    assert report()["total"]["billed"] == 0
    assert report()["emulator"]["total"]["billed"] == 0.22
    printed = CliRunner().invoke(app, ["spend"]).output
    assert "nothing was spent" in printed
    assert "campaign (emulator, no money)" in printed
    [row] = csv.DictReader(io.StringIO(CliRunner().invoke(app, ["spend", "--csv"]).output))
    assert (row["billed"], row["currency"]) == ("0.22", "emulator, no money")


def test_the_usual_wait_is_that_of_own_clips_of_the_same_model_and_length(storage: Storage) -> None:
    records = Records(storage)
    records.save_session(make_session())
    for number, seconds in enumerate((60, 80, 4000)):
        take = make_take(job_id=f"job-{number}", minute=number)
        take.updated_at = take.created_at + timedelta(seconds=seconds)
        records.save_take(take)
    index = SessionIndex(records)
    index.update()
    request = take.request
    assert request.duration
    assert usual_seconds(index, request.model, request.duration, is_local=False) == 80
    assert usual_seconds(index, request.model, request.duration, is_local=True) is None
    assert usual_seconds(index, request.model, request.duration + 1, is_local=False) is None


def test_a_name_is_no_formula_in_a_spreadsheet(storage: Storage) -> None:
    records = Records(storage)
    records.save_session(make_session(), "=1+1")
    keep(records, make_take(), campaign="=1+1")
    rows = list(csv.reader(io.StringIO(CliRunner().invoke(app, ["spend", "--csv"]).output)))
    assert rows[1][0] == "'=1+1"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--csv", "--json"], "not both"),
        (["--since", "2026-11-02", "--until", "2026-11-01"], "exchange them"),
    ],
)
def test_a_wrong_option_is_named(words: list[str], says: str) -> None:
    ran = CliRunner().invoke(app, ["spend", *words])
    assert says in str(ran.exception)


def test_a_refused_order_and_an_order_not_sent_cost_nothing() -> None:
    assert spend_of(make_take(None)) is None
    take = make_take(AttemptState.FAILED)
    take.price = Price(amount=200_000, source="listed", as_of=date(2026, 11, 1))
    spend = spend_of(take)
    assert spend is not None
    assert (spend.billed, spend.estimated, spend.unknown, spend.without_estimate) == (0, 0, 0, 0)
