"""An account that can't buy stops the buying: what was not sent stays open, and the reason is told once."""

import asyncio
import json
import threading
from collections import Counter
from pathlib import Path

import pytest

from adreel.campaigns import campaign_job_id
from adreel.campaigns.prices import unstarted_costs
from adreel.emulator import LocalRunware, in_thread
from adreel.errors import BadKey, BuyingStopped, NoCredits
from adreel.flows.generate_ad import generate_ad
from adreel.flows.generate_campaign import generate_campaign
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, task_uuid, utc_now
from adreel.purchase.balance import expected_cost, warn_of_balance
from adreel.purchase.jobs import open_scenes, record_failure, start_job
from adreel.purchase.shared_client import shared_client
from adreel.records import Records
from adreel.records.views import job_view
from adreel.runware import RunwareClient
from adreel.settings import Settings
from tests.factories import make_session, session_data
from tests.runs import retry, run
from tests.studio import JOB, studio

HOOK, PROBLEM, SOLUTION, CTA = Scenario
CLIP = 0.1
"""USD of a clip of these tests."""


@pytest.fixture
def poor_runware(runware: LocalRunware, monkeypatch: pytest.MonkeyPatch) -> LocalRunware:
    """Give an emulator whose account has no credits yet."""
    runware.add_credits(-1_000_000)
    return runware


async def test_scenes_after_a_refusal_for_credits_are_not_sent_and_stay_open() -> None:
    async with studio(account=2.5 * CLIP) as it:
        job = it.start(*Scenario)
        async with shared_client(it.settings):
            assert (await it.produce(HOOK, job=job)).is_stored
            assert (await it.produce(PROBLEM, job=job)).is_stored
            for scenario, error in ((SOLUTION, NoCredits), (CTA, BuyingStopped)):
                with pytest.raises(error, match=f"scene {scenario}") as refused:
                    await it.produce(scenario, job=job)
                record_failure(it.records, job, scenario, refused.value)
        assert set(it.server.ledger.submits) == {str(task_uuid(JOB, each, 1)) for each in (HOOK, PROBLEM, SOLUTION)}
        recorded = job.model_copy(update={"mark": None})
        assert open_scenes(it.records, it.settings, JOB) == [(recorded, [SOLUTION, CTA])]
        view = job_view(it.records, JOB)
        assert view.cost == pytest.approx(2 * CLIP)
        assert "insufficientCredits" not in str(view.scenes[3].error)

        it.server.add_credits(2 * CLIP)
        for scenario in (SOLUTION, CTA):
            assert (await it.produce(scenario, job=job)).is_stored
        assert it.bought == [str(task_uuid(JOB, scenario, 1)) for scenario in Scenario]


async def test_an_accepted_task_is_followed_though_the_account_can_not_buy() -> None:
    async with studio(account=CLIP, render_seconds=1) as it:
        job = it.start(HOOK, CTA)
        rendering = asyncio.create_task(it.produce(HOOK, job=job))
        await asyncio.sleep(0.3)
        assert len(it.bought) == 1
        with pytest.raises(NoCredits):
            await it.produce(CTA, job=job)
        assert (await rendering).is_stored


async def test_a_task_that_may_have_been_accepted_is_looked_up_before_it_counts_as_unsent() -> None:
    async with studio(account=CLIP) as it:
        client = RunwareClient(it.server.url, "key")
        it.start(HOOK)
        request = it.take().request
        accepted, unknown = task_uuid(JOB, HOOK, 1), task_uuid(JOB, CTA, 1)
        await client.submit(accepted, request)
        client.account_error = NoCredits("none")
        await client.submit(accepted, request)
        with pytest.raises(BuyingStopped):
            await client.submit(unknown, request)
        await client.close()
        assert it.server.ledger.submits == {str(accepted): 1}


async def test_a_refused_key_is_sent_once_for_all_scenes() -> None:
    async with LocalRunware(keys=frozenset({"right"})) as server:
        client = RunwareClient(server.url, "wrong")
        errors = await asyncio.gather(*(client.connect() for _ in Scenario), return_exceptions=True)
        await client.close()
        assert Counter(map(type, errors)) == {BadKey: 4}
        assert server.ledger.counters.connections == 1


async def test_a_key_that_is_refused_ahead_is_told_to_the_first_scene() -> None:
    async with LocalRunware(keys=frozenset({"right"})) as server:
        client = RunwareClient(server.url, "wrong")
        client.connect_ahead()
        while client.account_error is None:  # noqa: ASYNC110 - the client has no event of it
            await asyncio.sleep(0.01)
        client.check_account()
        with pytest.raises(BadKey):
            await client.connect()
        client.connect_ahead()
        with pytest.raises(BuyingStopped):
            client.check_account()
        await client.close()
        assert server.ledger.counters.connections == 1


@pytest.mark.parametrize(
    ("credits_left", "key", "warnings"),
    [
        (0.30, "key-of-a-test", ["USD 0.30, and USD 0.40 is expected"]),
        (0.40, "key-of-a-test", []),
        (0.30, "", []),
    ],
    ids=["too little", "enough", "no key"],
)
def test_a_balance_that_will_not_suffice_is_told_before_the_bill(
    credits_left: float, key: str, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with in_thread(credits=credits_left) as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        monkeypatch.setenv("RUNWARE_API_KEY", key)
        warn_of_balance(Settings.load(), lambda: 400_000, told.append)
        for thread in threading.enumerate():
            if thread.name == "adreel-balance":
                thread.join(20)
        assert server.ledger.counters.connections == (1 if key else 0)
    assert len(told) == len(warnings)
    assert all(warning in line for warning, line in zip(warnings, told, strict=True))


def test_what_a_job_is_expected_to_cost_leaves_out_what_is_sent(records: Records) -> None:
    records.save_session(make_session())
    settings = Settings()
    job = start_job(records, settings, "job-1", "ad")
    takes = [take for scenario in Scenario if (take := records.take("ad", scenario, "job-1"))]
    each = takes[0].price.amount if takes[0].price else None
    assert each
    assert expected_cost(records, settings, [job]) == 4 * each
    takes[0].plan_attempt(utc_now())
    takes[0].advance(AttemptState.ACCEPTED)
    records.save_take(takes[0])
    assert expected_cost(records, settings, [job]) == 3 * each


def test_what_a_campaign_is_expected_to_cost_leaves_out_ads_that_were_started(records: Records, tmp_path: Path) -> None:
    sessions = [{**session_data(), "session_id": f"ad-{number}"} for number in range(3)]
    source = tmp_path / "spring.jsonl"
    source.write_text("\n".join(map(json.dumps, sessions)))
    settings = Settings.load()
    costs = list(unstarted_costs(settings, records, str(source), "spring"))
    records.save_session(make_session(session_id="ad-1"))
    start_job(records, settings, campaign_job_id("spring", "ad-1"), "ad-1")
    assert list(unstarted_costs(settings, records, str(source), "spring")) == costs[1:]
    assert len(costs) == 3
    assert all(costs)


@pytest.mark.usefixtures("prefect")
class TestFlows:
    def test_a_job_tells_account_trouble_once(self, poor_runware: LocalRunware, records: Records) -> None:
        poor_runware.add_credits(1.5 * CLIP)
        records.save_session(make_session(seconds=2))
        job_id, state = run(generate_ad, session_id="ad")
        assert state.name == "Partial"
        assert str(state.message).count("insufficientCredits") == 1
        assert len(poor_runware.ledger.entries) == 1

        poor_runware.add_credits(10 * CLIP)
        assert retry(generate_ad, job_id).is_completed()
        assert len(poor_runware.ledger.entries) == 4

    @pytest.mark.slow
    def test_a_campaign_stops_and_goes_on_by_the_same_command(
        self, poor_runware: LocalRunware, records: Records, tmp_path: Path
    ) -> None:
        sessions = [{**session_data(seconds=2), "session_id": f"ad-{number}"} for number in range(6)]
        source = tmp_path / "spring.jsonl"
        source.write_text("\n".join(map(json.dumps, sessions)))
        poor_runware.add_credits(6 * CLIP)

        _, state = run(generate_campaign, source=str(source), window=4)
        message = str(state.message)
        assert (state.name, message.count("insufficientCredits")) == ("Partial", 1)
        assert "2 of 6 ads (1 completed, 1 partial)" in message
        assert records.session_ids() == ["ad-0", "ad-1"]
        assert len(poor_runware.ledger.entries) == 6

        poor_runware.add_credits(100 * CLIP)
        _, state = run(generate_campaign, source=str(source), window=4)
        assert state.is_completed(), state.message
        assert len(poor_runware.ledger.entries) == 24
