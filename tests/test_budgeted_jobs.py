"""Jobs under a budget, by the provider's ledger: nothing is sent without a hold, and all of it is accounted for."""

import asyncio
from collections.abc import Callable

import pytest

from adreel.errors import NotFound, OverBudget, RenderFailed, SceneRefused
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Job, task_uuid
from adreel.purchase.holds import hold_attempt
from adreel.purchase.jobs import cancel_job, end_job, end_jobs_of_run, open_scenes, resume_job, start_job
from adreel.purchase.quotes import hold_quote, quote_resume
from adreel.purchase.state_machine import Purchase
from adreel.purchase.uploads import SentImages
from adreel.records import Records
from adreel.spend.budgets import Budgets
from tests.studio import JOB, Studio, studio

HOOK, PROBLEM = Scenario.HOOK, Scenario.PROBLEM


def estimate(it: Studio) -> int:
    """Return the price of a scene, by a job without a budget."""
    start_job(it.records, it.settings, "probe", "ad", scenarios=[HOOK])
    take = it.records.take("ad", HOOK, "probe")
    assert take is not None
    it.records.remove_take(take)
    it.records.remove_job("probe")
    assert take.price
    assert take.price.amount
    return take.price.amount


def numbers(it: Studio) -> tuple[int, int]:
    [view] = Budgets(it.records).views()
    return view.spent, view.held


async def test_a_bought_scene_is_spent_and_nothing_stays_held() -> None:
    async with studio() as it:
        price = estimate(it)
        Budgets(it.records).set("all", 10 * price)
        job = it.start(HOOK)
        assert numbers(it) == (0, price)
        take = await it.produce(job=job)
        assert take.attempts[0].hold
        end_job(it.records, job)
        assert numbers(it) == (round((take.cost or 0) * 1e6), 0)


async def test_a_refused_job_records_and_sends_nothing() -> None:
    async with studio() as it:
        Budgets(it.records).set("all", 3 * estimate(it))
        with pytest.raises(OverBudget, match="adreel budget set all"):
            it.start()
        assert it.records.job(JOB) is None
        assert it.records.takes("ad", HOOK) == []
        assert numbers(it) == (0, 0)


async def test_without_a_budget_no_hold_is_recorded() -> None:
    async with studio() as it:
        take = await it.produce()
        assert take.attempts[0].hold is None
        assert not it.records.storage.exists("budgets")


async def test_a_second_attempt_needs_a_hold_of_its_own() -> None:
    async with studio("providerTimeoutx1") as it:
        price = estimate(it)
        Budgets(it.records).set("all", 2 * price)
        job = it.start(HOOK)
        with pytest.raises(RenderFailed):
            await it.produce(job=job)
        assert numbers(it) == (0, price)
        take = await it.produce(job=job)
        assert numbers(it) == (0, 2 * price)
        assert [attempt.hold is not None for attempt in take.attempts] == [True, True]
        assert job.holds
        assert take.attempts[1].hold == job.holds.mark
        end_job(it.records, job)
        Budgets(it.records).reconcile()
        assert numbers(it)[1] == 0


async def test_a_second_attempt_that_was_held_and_not_sent_is_released_with_its_job() -> None:
    async with studio("providerTimeoutx1") as it:
        price = estimate(it)
        Budgets(it.records).set("all", 2 * price)
        job = it.start(HOOK)
        with pytest.raises(RenderFailed):
            await it.produce(job=job)
        take = it.take()
        take.plan_attempt(take.created_at)
        assert hold_attempt(it.records, job, take)
        assert numbers(it) == (0, 2 * price)
        end_job(it.records, job)
        assert numbers(it) == (price, 0)
        resumed = resume_job(it.records, it.settings, job)
        assert (await it.produce(job=resumed)).is_stored


async def test_a_second_attempt_beyond_the_cap_is_not_sent() -> None:
    async with studio("providerTimeoutx1") as it:
        Budgets(it.records).set("all", estimate(it))
        job = it.start(HOOK)
        with pytest.raises(RenderFailed):
            await it.produce(job=job)
        with pytest.raises(OverBudget, match="scene hook: ") as refused:
            await it.produce(job=job)
        assert (refused.value.budget, refused.value.left) == ("all", 0)
        assert len(it.bought) == 1
        take = it.take()
        assert take.attempts[-1].state == AttemptState.FAILED
        end_job(it.records, job)
        assert [(job.job_id, scenes) for job, scenes in open_scenes(it.records, it.settings, JOB)] == [(JOB, [HOOK])]


async def test_the_limit_of_a_job_holds_for_its_retries() -> None:
    async with studio("providerTimeoutx1") as it:
        price = estimate(it)
        job = start_job(it.records, it.settings, JOB, "ad", scenarios=[HOOK], max_cost=price)
        with pytest.raises(RenderFailed):
            await it.produce(job=job)
        with pytest.raises(OverBudget, match="--max-cost"):
            await it.produce(job=job)
        assert len(it.bought) == 1


async def test_a_resume_beyond_the_limit_of_its_job_is_refused_before_its_run() -> None:
    async with studio("providerTimeoutx1") as it:
        price = estimate(it)
        job = start_job(it.records, it.settings, JOB, "ad", scenarios=[HOOK], max_cost=price)
        with pytest.raises(RenderFailed):
            await it.produce(job=job)
        end_job(it.records, job)
        quote = quote_resume(it.records, it.settings, job)
        assert quote is not None
        with pytest.raises(OverBudget, match=r"--max-cost has USD 0\.00 left"):
            hold_quote(it.records, "key", quote)


async def test_a_job_above_its_own_limit_is_refused() -> None:
    async with studio() as it:
        price = estimate(it)
        with pytest.raises(OverBudget) as refused:
            start_job(it.records, it.settings, JOB, "ad", max_cost=3 * price)
        assert refused.value.budget == "max_cost"
        assert it.records.job(JOB) is None


async def test_a_resume_over_budget_downloads_what_is_paid_and_buys_nothing() -> None:
    async with studio() as it:
        price = estimate(it)
        Budgets(it.records).set("all", 2 * price)
        job = it.start(HOOK, PROBLEM)
        take = it.take()
        take.plan_attempt(take.created_at)
        take.attempts[0].hold = job.holds.mark if job.holds else None
        take.advance(AttemptState.SUBMITTED)
        it.records.save_take(take)
        end_job(it.records, job)
        assert numbers(it) == (0, price)
        Budgets(it.records).set("all", price)
        resumed = resume_job(it.records, it.settings, job)
        assert (await it.produce(HOOK, job=resumed)).is_stored
        with pytest.raises(OverBudget):
            await it.produce(PROBLEM, job=resumed)
        assert it.bought == [str(task_uuid(JOB, HOOK, 1))]


async def test_a_resume_that_can_buy_nothing_is_refused() -> None:
    async with studio() as it:
        Budgets(it.records).set("all", estimate(it))
        job = it.start(HOOK)
        end_job(it.records, job)
        Budgets(it.records).set("all", 0)
        with pytest.raises(OverBudget):
            resume_job(it.records, it.settings, job)


async def test_a_resume_of_a_job_that_was_removed_meanwhile_keeps_no_money(monkeypatch: pytest.MonkeyPatch) -> None:
    async with studio() as it:
        Budgets(it.records).set("all", estimate(it))
        job = it.start(HOOK)
        end_job(it.records, job)
        monkeypatch.setattr(Records, "update_job", lambda *_: None)
        with pytest.raises(NotFound, match="removed meanwhile"):
            resume_job(it.records, it.settings, job)
        assert numbers(it) == (0, 0)


@pytest.mark.parametrize("end", [cancel_job, lambda records, job: end_jobs_of_run(records, job.run_id, job.job_id)])
async def test_a_job_that_ends_without_its_runner_keeps_no_money(end: Callable[[Records, Job], None]) -> None:
    async with studio() as it:
        price = estimate(it)
        Budgets(it.records).set("all", 4 * price)
        job = it.start(HOOK, PROBLEM)
        take = await it.produce(job=job)
        recorded = it.records.job(JOB)
        assert recorded is not None
        end(it.records, recorded)
        assert numbers(it) == (round((take.cost or 0) * 1e6), 0)


async def test_a_runner_whose_hold_was_released_holds_again_before_it_sends() -> None:
    async with studio() as it:
        price = estimate(it)
        Budgets(it.records).set("all", price)
        slow, quick = it.start(HOOK), it.start(HOOK)
        end_job(it.records, quick)
        assert numbers(it) == (0, price)
        Budgets(it.records).reconcile()
        assert numbers(it) == (0, 0)
        take = await it.produce(job=slow)
        assert slow.holds
        assert take.attempts[0].hold not in {None, slow.holds.mark}
        end_job(it.records, slow)
        assert numbers(it)[1] == 0


async def test_a_released_runner_sends_nothing_if_the_money_is_gone() -> None:
    async with studio() as it:
        price = estimate(it)
        Budgets(it.records).set("all", price)
        slow = it.start(HOOK)
        end_job(it.records, it.start(HOOK))
        Budgets(it.records).reconcile()
        it.start_another(HOOK)
        with pytest.raises(OverBudget):
            await it.produce(job=slow)
        assert it.bought == []


@pytest.mark.parametrize("refused", [0, 1])
async def test_a_refusal_of_one_runner_does_not_end_the_hold_under_which_another_one_sends(
    refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates: list[asyncio.Event] = []
    sending = asyncio.Semaphore(0)
    send = Purchase._send

    async def wait(purchase: Purchase, images: SentImages) -> None:
        gates.append(asyncio.Event())
        sending.release()
        await gates[-1].wait()
        await send(purchase, images)

    monkeypatch.setattr(Purchase, "_send", wait)
    async with studio("invalidParameter@1x1") as it:
        price = estimate(it)
        Budgets(it.records).set("all", price)
        jobs = [it.start(HOOK), it.start(HOOK)]
        runs = []
        for job in jobs:
            runs.append(asyncio.create_task(it.produce(job=job)))
            await asyncio.wait_for(sending.acquire(), 10)
        gates[refused].set()
        with pytest.raises(SceneRefused):
            await runs[refused]
        end_job(it.records, jobs[refused])
        Budgets(it.records).reconcile()
        assert numbers(it) == (0, price)
        gates[1 - refused].set()
        take = await runs[1 - refused]
        end_job(it.records, jobs[1 - refused])
        assert it.bought == [str(take.attempts[0].uuid)]
        assert numbers(it) == (round((take.cost or 0) * 1e6), 0)
