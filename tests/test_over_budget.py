"""Runs that a budget refuses: they end in a state of their own, send nothing, and go on once the cap is raised."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.flows import Flow

from adreel.campaigns import campaign_job_id
from adreel.campaigns.prices import count_affordable
from adreel.emulator import LocalRunware, in_thread
from adreel.errors import OverBudget
from adreel.flows import in_process
from adreel.flows.generate_ad import generate_ad
from adreel.flows.generate_campaign import generate_campaign, tallies
from adreel.flows.jobs import JobRun
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.flows.resume import resume
from adreel.models.runners import Runner
from adreel.models.scenarios import Scenario
from adreel.models.spend import request_hold
from adreel.models.takes import AttemptState, Job, Problem, task_uuid, utc_now
from adreel.purchase.jobs import end_job, start_job
from adreel.records import Records
from adreel.records.views import job_view
from adreel.settings import Settings
from adreel.spend.accounts import Order, PricedTask
from adreel.spend.budgets import Budgets
from adreel.storage import Storage
from tests.factories import make_session, make_take, save_job, session_data
from tests.runs import retry, run
from tests.test_cli import adreel

pytestmark = pytest.mark.usefixtures("prefect")
CLIP = 6290
"""Micro-dollars of one clip of the tests, estimated and billed."""


@pytest.fixture(autouse=True)
def runware(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunware]:
    """Run an emulator that bills the prices of the catalogue."""
    with in_thread(render_seconds=0.1) as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        monkeypatch.setenv("RUNWARE_API_KEY", "")
        monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
        monkeypatch.setenv("ADREEL_SIZE", "128x72")
        yield server


@pytest.fixture
def records() -> Records:
    records = Records(Storage("./outputs"))
    records.save_session(make_session(seconds=1))
    return records


@pytest.mark.parametrize(
    ("flow", "parameters"),
    [(generate_ad, {"scenarios": ["hook", "cta"]}), (regenerate_scene, {"scenario": "hook"})],
    ids=["generate-ad", "regenerate-scene"],
)
def test_a_refused_run_continues_once_the_cap_is_raised(
    flow: Flow[..., Any], parameters: dict[str, Any], records: Records, runware: LocalRunware
) -> None:
    Budgets(records).set("all", CLIP - 1)
    job_id, state = run(flow, session_id="ad", **parameters)
    assert (state.name, state.is_failed()) == ("OverBudget", True)
    assert "is needed, and budget all has USD 0.006289 left" in (state.message or "")
    assert (records.job_ids(), list(runware.ledger.entries)) == ([], [])
    Budgets(records).set("all", 2 * CLIP)
    assert retry(flow, job_id).is_completed()
    assert records.job_ids() == [job_id]


def test_a_refused_resume_names_the_way_out_and_leaves_the_scenes_open(records: Records, runware: LocalRunware) -> None:
    job = start_job(records, Settings(), "job-1", "ad")
    end_job(records, job)
    Budgets(records).set("all", CLIP)
    _, state = run(resume, target="job-1")
    assert (state.name, list(runware.ledger.entries)) == ("OverBudget", [])
    assert "adreel budget set all" in (state.message or "")
    with pytest.raises(OverBudget) as refusal:
        in_process.resume("job-1")
    assert (refusal.value.budget, refusal.value.needed) == ("all", 4 * CLIP)
    Budgets(records).set("all", 4 * CLIP)
    assert in_process.resume("job-1").jobs[0].overall_status == "completed"


def test_a_job_whose_next_try_is_refused_has_ended(records: Records) -> None:
    Budgets(records).set("all", CLIP)
    job = JobRun(Settings(), records, Runner.here("run-1")).start_job("ad", [Scenario.HOOK])
    take = records.take("ad", Scenario.HOOK, "run-1")
    assert take is not None
    assert job.holds is not None
    attempt = take.plan_attempt(utc_now())
    attempt.hold, attempt.problem = job.holds.mark, Problem(code="renderFailed", message="no clip", retryable=True)
    take.advance(AttemptState.FAILED)
    records.save_take(take)
    with pytest.raises(OverBudget):
        JobRun(Settings(), records, Runner.here("run-1")).start_job("ad", [Scenario.HOOK])
    ended = records.job("run-1")
    assert ended is not None
    assert ended.ended_at is not None
    assert records.budgets().open == {}


def test_a_resume_that_finds_nothing_open_keeps_no_money(records: Records) -> None:
    runner = Runner.here("resume-1")
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK], created_at=utc_now()))
    records.save_take(make_take())
    Budgets(records).set("all", 100 * CLIP)
    Budgets(records).reserve(Order("ad", "", (PricedTask(request_hold("key"), "", CLIP),), key="key"))
    assert JobRun(Settings(), records, runner, "key").resume_jobs("job-1", []) == []
    [view] = Budgets(records).views()
    assert view.held == 0


def test_a_program_gets_the_refusal_with_its_sums(records: Records) -> None:
    Budgets(records).set("all", 3 * CLIP)
    with pytest.raises(OverBudget) as refusal:
        in_process.generate("ad")
    assert (refusal.value.needed, refusal.value.left) == (4 * CLIP, 3 * CLIP)
    assert refusal.value.next == ("adreel budget set all 0.03",)


@pytest.fixture
def ads(tmp_path: Path) -> Path:
    sessions = [{**session_data(seconds=1), "session_id": f"ad-{number}"} for number in range(5)]
    file = tmp_path / "spring.jsonl"
    file.write_text("\n".join(map(json.dumps, sessions)))
    return file


def test_a_campaign_stops_at_its_budget_and_continues_once_the_cap_is_raised(
    ads: Path, records: Records, runware: LocalRunware
) -> None:
    Budgets(records).set("campaign:spring", 11 * CLIP)
    run_id, state = run(generate_campaign, source=str(ads), window=20)
    assert (state.name, state.is_completed()) == ("OverBudget", True), state.message
    assert "continues with the 3 ads that were not sent" in (state.message or "")
    assert "With adreel budget set campaign:spring 0.08 it would go through" in (state.message or "")
    assert tallies[run_id].unsent == 3
    assert Counter(len(group) for group in bought(runware).values()) == {4: 2}
    [view] = Budgets(records).views()
    assert (view.spent, view.held) == (8 * CLIP, 0)

    Budgets(records).set("campaign:spring", 20 * CLIP)
    _, state = run(generate_campaign, source=str(ads), window=20)
    assert state.name == "Completed", state.message
    assert Counter(len(group) for group in bought(runware).values()) == {4: 5}


def test_a_stopped_campaign_finishes_the_ads_that_a_killed_run_has_started(
    ads: Path, records: Records, runware: LocalRunware
) -> None:
    Budgets(records).set("campaign:spring", 4 * CLIP)
    records.save_session(make_session(session_id="ad-4", seconds=1), "spring")
    start_job(records, Settings(), campaign_job_id("spring", "ad-4"), "ad-4")
    _, state = run(generate_campaign, source=str(ads), window=20)
    assert (state.name, set(bought(runware))) == ("OverBudget", {"ad-4"}), state.message
    assert "continues with the 4 ads that were not sent" in (state.message or "")


def bought(runware: LocalRunware) -> dict[str, list[str]]:
    """Return the scenes that the emulator has accepted, by job."""
    jobs: dict[str, list[str]] = {}
    names = {
        str(task_uuid(campaign_job_id("spring", f"ad-{n}"), s, 1)): (f"ad-{n}", s) for n in range(5) for s in Scenario
    }
    for entry in runware.ledger.entries:
        session_id, scenario = names[entry.uuid.lower()]
        jobs.setdefault(session_id, []).append(scenario)
    return jobs


def test_a_campaign_says_at_its_start_how_many_ads_its_budget_buys(ads: Path, records: Records) -> None:
    settings = Settings.load()
    assert count_affordable(settings, records, str(ads), "spring") is None
    Budgets(records).set("month", 100 * CLIP)
    Budgets(records).set("campaign:spring", 11 * CLIP)
    Budgets(records).set("campaign:other", 0)
    found = count_affordable(settings, records, str(ads), "spring")
    assert str(found) == "budget campaign:spring has USD 0.06919 left: enough for 2 of 5 ads that were not started yet"


@pytest.mark.slow
def test_the_command_of_a_campaign_exits_with_3_and_says_what_its_budget_buys(ads: Path, records: Records) -> None:
    Budgets(records).set("campaign:spring", 11 * CLIP)
    done = adreel("campaign", ads, "--json")
    assert (done.returncode, json.loads(done.stdout)["totals"]["ads not sent"]) == (3, 3), done.stderr
    assert "enough for 2 of 5 ads" in done.stderr


def test_the_own_budget_of_one_ad_does_not_stop_its_campaign(
    ads: Path, records: Records, runware: LocalRunware
) -> None:
    Budgets(records).set("session:ad-1", CLIP)
    _, state = run(generate_campaign, source=str(ads))
    assert state.name == "Partial"
    assert set(bought(runware)) == {"ad-0", "ad-2", "ad-3", "ad-4"}


@pytest.mark.slow
def test_a_retry_beyond_the_own_budget_of_one_ad_does_not_stop_its_campaign(
    ads: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        Budgets(records).set(f"session:ad-{number}", 4 * CLIP)
    with in_thread(render_seconds=0.1, faults=("providerTimeoutx1",)) as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        run_id, state = run(generate_campaign, source=str(ads), window=4)
        assert (state.name, tallies[run_id].unsent, len(server.ledger.entries)) == ("Partial", 0, 20), state.message
    jobs = records.jobs()
    assert all(job.ended_at for job in jobs)
    assert Counter(job_view(records, job.job_id).overall_status for job in jobs) == {"completed": 4, "partial": 1}
    assert all(view.held == 0 for view in Budgets(records).views())


def test_a_campaign_that_is_dearer_than_its_limit_is_not_started(
    ads: Path, records: Records, runware: LocalRunware
) -> None:
    _, state = run(generate_campaign, source=str(ads), max_cost=0.12)
    assert (state.name, state.is_failed(), list(runware.ledger.entries)) == ("OverBudget", True, [])
