"""Budgets: an ad is admitted whole or not at all, counted once, and reconciled from the records alone."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from adreel.errors import InputError, NotFound, OverBudget
from adreel.models.budget_modes import BudgetMode
from adreel.models.scenarios import Scenario
from adreel.models.spend import Holds, Price, period_of, request_hold, show_usd
from adreel.models.takes import AttemptState, Job, Take, task_uuid, utc_now
from adreel.records import Records
from adreel.records.pruning import prune
from adreel.spend import budgets as budgets_module
from adreel.spend.accounts import Order, PricedTask
from adreel.spend.budgets import Budgets
from adreel.spend.notices import Reached
from tests.factories import make_session, make_take, save_job

CENT = 10_000
HOOK = Scenario.HOOK


def order(number: int, price: int | None = CENT, *, scenes: int = 4, **fields: object) -> Order:
    job = f"job-{number}"
    tasks = tuple(PricedTask(str(task_uuid(job, scenario, 1)), scenario, price) for scenario in list(Scenario)[:scenes])
    return Order("ad", job, tasks, **fields)  # type: ignore[arg-type]


def save_purchase(records: Records, job: Job, take: Take, mark: str | None) -> None:
    take.attempts[-1].hold = mark
    take.attempts[-1].accepted_at = take.created_at
    records.save_take(take)
    save_job(records, job)


def job_of(number: int, holds: Holds | None = None, *, ended: bool = False) -> Job:
    now = utc_now()
    return Job(
        job_id=f"job-{number}",
        session_id="ad",
        scenarios=[HOOK],
        created_at=now,
        ended_at=now if ended else None,
        holds=holds,
    )


def reserve(records: Records, number: int) -> Holds:
    holds = Budgets(records).reserve(order(number, scenes=1)).holds
    assert holds is not None
    return holds


def numbers(records: Records, name: str = "all") -> tuple[int, int, int]:
    [view] = [view for view in Budgets(records).views() if view.name == name]
    return view.spent, view.held, view.left


def test_without_budgets_nothing_is_written(records: Records) -> None:
    assert Budgets(records).reserve(order(1)).holds is None
    assert not records.storage.exists("budgets")


def test_an_ad_is_admitted_whole_or_not_at_all(records: Records) -> None:
    Budgets(records).set("all", 7 * CENT)
    Budgets(records).reserve(order(1))
    with pytest.raises(
        OverBudget, match=r"USD 0.04 is needed, and budget all has USD 0.03 left of USD 0.07"
    ) as refused:
        Budgets(records).reserve(order(2))
    assert numbers(records) == (0, 4 * CENT, 3 * CENT)
    assert (refused.value.needed, refused.value.left, refused.value.budget) == (4 * CENT, 3 * CENT, "all")
    assert refused.value.next == ("adreel budget set all 0.08",)


def test_the_named_command_goes_through(records: Records) -> None:
    Budgets(records).set("day", 7 * CENT)
    Budgets(records).reserve(order(1))
    Budgets(records).set("day", 8 * CENT)
    Budgets(records).reserve(order(2))
    assert numbers(records, "day") == (0, 8 * CENT, 0)


@pytest.mark.parametrize("name", ["day", "month", "all", "session:ad", "campaign:spring"])
def test_every_budget_in_scope_refuses(records: Records, name: str) -> None:
    Budgets(records).set("all", 100 * CENT)
    Budgets(records).set(name, CENT)
    with pytest.raises(OverBudget, match=f"budget {name}"):
        Budgets(records).reserve(order(1, campaign="spring"))


def test_the_named_command_quotes_a_name_with_spaces(records: Records) -> None:
    Budgets(records).set("campaign:spring sale", CENT)
    with pytest.raises(OverBudget) as refused:
        Budgets(records).reserve(order(1, campaign="spring sale"))
    assert refused.value.next == ("adreel budget set 'campaign:spring sale' 0.04",)


@pytest.mark.parametrize("name", ["session:another", "campaign:autumn"])
def test_a_budget_of_another_scope_is_left_alone(records: Records, name: str) -> None:
    Budgets(records).set(name, 0)
    assert Budgets(records).reserve(order(1, campaign="spring")).holds is None


@pytest.mark.parametrize("mode", [BudgetMode.OBSERVE, BudgetMode.WARN])
def test_other_modes_count_and_refuse_nothing(records: Records, mode: BudgetMode) -> None:
    Budgets(records).set("all", CENT, mode)
    Budgets(records).reserve(order(1))
    [view] = Budgets(records).views()
    assert (view.held, view.left, view.over) == (4 * CENT, 0, 3 * CENT)


def test_an_unknown_price_is_never_free(records: Records) -> None:
    Budgets(records).set("all", 100 * CENT)
    with pytest.raises(OverBudget, match="price of hook, problem, solution, cta is unknown") as refused:
        Budgets(records).reserve(order(1, None))
    assert refused.value.needed is None


def test_a_second_runner_of_a_job_holds_nothing_twice(records: Records) -> None:
    Budgets(records).set("all", 4 * CENT)
    assert reserve(records, 1).mark != reserve(records, 1).mark
    Budgets(records).reserve(order(1))
    assert numbers(records) == (0, 4 * CENT, 0)


def test_the_tries_of_a_runner_share_their_mark(records: Records) -> None:
    Budgets(records).set("all", CENT)
    first = Budgets(records).reserve(order(1, scenes=1), "mark").holds
    again = Budgets(records).reserve(order(1, scenes=1), "mark").holds
    assert first == again
    assert first is not None
    Budgets(records).release(first)
    assert numbers(records) == (0, 0, CENT)


def test_settling_replaces_the_hold_by_the_bill(records: Records) -> None:
    Budgets(records).set("all", 100 * CENT)
    holds = reserve(records, 1)
    job = job_of(1, holds)
    save_purchase(records, job, make_take(cost=0.03), holds.mark)
    Budgets(records).settle(job)
    Budgets(records).settle(job)
    assert numbers(records) == (3 * CENT, 0, 97 * CENT)


def test_a_stray_hold_of_a_runner_that_came_later_counts_nothing(records: Records) -> None:
    Budgets(records).set("all", 100 * CENT)
    holds = reserve(records, 1)
    job = job_of(1, holds, ended=True)
    save_purchase(records, job, make_take(cost=0.03), holds.mark)
    Budgets(records).settle(job)
    reserve(records, 1)
    Budgets(records).reconcile()
    assert numbers(records) == (3 * CENT, 0, 97 * CENT)


def test_a_clip_of_unknown_cost_counts_with_its_estimate(records: Records) -> None:
    Budgets(records).set("all", 100 * CENT)
    holds = reserve(records, 1)
    save_purchase(records, job_of(1), make_take(cost=None), holds.mark)
    Budgets(records).reconcile()
    [view] = Budgets(records).views()
    assert (view.spent, view.unknown) == (CENT, 1)


def test_a_refused_task_costs_nothing(records: Records) -> None:
    Budgets(records).set("all", 100 * CENT)
    holds = reserve(records, 1)
    take = make_take(AttemptState.FAILED)
    take.progress, take.attempts[-1].hold = 10, holds.mark
    records.save_take(take)
    save_job(records, job_of(1))
    Budgets(records).reconcile()
    assert numbers(records) == (0, 0, 100 * CENT)


@pytest.mark.parametrize("state", [AttemptState.SUBMITTED, AttemptState.ACCEPTED])
def test_what_may_still_be_billed_stays_held(records: Records, state: AttemptState) -> None:
    Budgets(records).set("all", 100 * CENT)
    holds = reserve(records, 1)
    save_purchase(records, job_of(1, ended=True), make_take(state), holds.mark)
    assert Budgets(records).reconcile().open == 1
    assert numbers(records) == (0, CENT, 99 * CENT)


def test_an_unsent_task_is_held_until_its_job_ends(records: Records) -> None:
    Budgets(records).set("all", 100 * CENT)
    holds = reserve(records, 1)
    records.save_take(make_take(None))
    save_job(records, job_of(1))
    assert Budgets(records).reconcile().released == 0
    save_job(records, job_of(1, ended=True))
    assert Budgets(records).reconcile().released == 1
    take = records.take("ad", HOOK, "job-1")
    assert take is not None
    assert take.released == [holds.mark]
    assert numbers(records) == (0, 0, 100 * CENT)


def test_a_runner_releases_only_its_own_hold(records: Records) -> None:
    Budgets(records).set("all", 100 * CENT)
    mine, _ = reserve(records, 1), reserve(records, 1)
    job = job_of(1, mine)
    records.save_take(make_take(None))
    save_job(records, job)
    Budgets(records).settle(job)
    assert numbers(records) == (0, CENT, 99 * CENT)


def test_the_hold_of_a_job_that_was_never_recorded_ends(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    Budgets(records).set("all", 100 * CENT)
    reserve(records, 1)
    assert Budgets(records).reconcile().open == 1
    monkeypatch.setattr(budgets_module, "utc_now", lambda: utc_now() + timedelta(hours=2))
    assert Budgets(records).reconcile().released == 1


def test_a_request_hands_its_hold_over_to_the_tasks_of_its_run(records: Records) -> None:
    Budgets(records).set("all", 4 * CENT)
    tasks = (PricedTask(request_hold("key"), "hook", 4 * CENT),)
    Budgets(records).reserve(Order("ad", "", tasks, key="key"))
    Budgets(records).reserve(Order("ad", "", tasks, key="key"))
    with pytest.raises(OverBudget):
        Budgets(records).reserve(order(2, scenes=1))
    Budgets(records).reserve(order(1, request=request_hold("key")))
    assert numbers(records) == (0, 4 * CENT, 0)
    assert request_hold("key") not in records.budgets().open


def test_a_new_budget_counts_what_pruned_takes_have_cost(records: Records) -> None:
    save_purchase(records, job_of(1, ended=True), make_take(cost=0.03), None)
    prune(records, make_take(cost=0.03), keep_current=False)
    for name, spent in (("all", 3 * CENT), ("campaign:spring", 0), ("day", 0)):
        Budgets(records).set(name, 100 * CENT)
        assert numbers(records, name) == (spent, 0, 100 * CENT - spent)


def test_a_request_of_yesterday_frees_nothing_of_today(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    Budgets(records).set("day", 4 * CENT)
    tasks = (PricedTask(request_hold("key"), "hook", 4 * CENT),)
    Budgets(records).reserve(Order("ad", "", tasks, key="key"))
    monkeypatch.setattr(budgets_module, "utc_now", lambda: utc_now() + timedelta(days=1))
    Budgets(records).reserve(order(2))
    with pytest.raises(OverBudget):
        Budgets(records).reserve(order(1, request=request_hold("key")))
    assert numbers(records, "day") == (0, 4 * CENT, 0)


def test_a_request_that_starts_no_run_releases_its_hold(records: Records) -> None:
    Budgets(records).set("all", 4 * CENT)
    Budgets(records).reserve(Order("ad", "", (PricedTask(request_hold("key"), "hook", 4 * CENT),), key="key"))
    Budgets(records).release_request("key")
    assert numbers(records) == (0, 0, 4 * CENT)


def test_a_request_is_released_once_its_run_is_over(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    Budgets(records).set("all", 4 * CENT)
    Budgets(records).reserve(Order("ad", "", (PricedTask(request_hold("key"), "hook", 4 * CENT),), key="key"))
    monkeypatch.setattr(budgets_module, "utc_now", lambda: utc_now() + timedelta(hours=2))
    assert Budgets(records).reconcile().open == 1
    assert Budgets(records).reconcile(lambda key: key != "key").open == 1
    assert Budgets(records).reconcile(lambda key: key == "key").released == 1


def test_a_new_budget_counts_what_its_scope_has_spent_and_what_is_open(records: Records) -> None:
    records.save_session(make_session())
    save_purchase(records, job_of(1), make_take(cost=0.03), None)
    open_take = make_take(AttemptState.ACCEPTED, job_id="job-2")
    open_take.price = Price(amount=2 * CENT, source="listed")
    save_purchase(records, job_of(2), open_take, None)
    for name in ("all", "session:ad"):
        Budgets(records).set(name, 100 * CENT)
        assert numbers(records, name) == (3 * CENT, 2 * CENT, 95 * CENT)
    Budgets(records).set("day", 100 * CENT)
    assert numbers(records, "day") == (0, 2 * CENT, 98 * CENT)
    open_take.attempts[-1].cost = 0.05
    open_take.advance(AttemptState.RENDERED)
    records.save_take(open_take)
    Budgets(records).reconcile()
    assert numbers(records) == (8 * CENT, 0, 92 * CENT)


def test_a_changed_cap_keeps_what_was_counted(records: Records) -> None:
    Budgets(records).set("all", 100 * CENT)
    reserve(records, 1)
    Budgets(records).set("all", 50 * CENT, BudgetMode.WARN)
    assert numbers(records) == (0, CENT, 49 * CENT)


def test_a_past_period_is_forgotten_once_nothing_of_it_is_open(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    Budgets(records).set("day", CENT)
    holds = reserve(records, 1)
    today, tomorrow = period_of("day", utc_now()), period_of("day", utc_now() + timedelta(days=1))
    monkeypatch.setattr(budgets_module, "utc_now", lambda: utc_now() + timedelta(days=1))
    reserve(records, 2)
    assert set(records.budgets().budgets["day"].accounts) == {today, tomorrow}
    save_purchase(records, job_of(1), make_take(), holds.mark)
    Budgets(records).reconcile()
    monkeypatch.setattr(budgets_module, "utc_now", lambda: utc_now() + timedelta(days=2))
    reserve(records, 3)
    assert today not in records.budgets().budgets["day"].accounts


def test_a_removed_budget_refuses_nothing(records: Records) -> None:
    Budgets(records).set("all", 0)
    Budgets(records).remove("all")
    assert Budgets(records).reserve(order(1)).holds is None
    with pytest.raises(NotFound, match="no budget 'all'"):
        Budgets(records).remove("all")


@pytest.mark.parametrize("name", ["week", "campaign:", "session:../x", ""])
def test_a_budget_of_an_unknown_kind_is_refused(records: Records, name: str) -> None:
    with pytest.raises(InputError, match="day, month, all, campaign:NAME or session:ID"):
        Budgets(records).set(name, CENT)


def test_a_cap_needs_conditional_updates(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records.storage, "is_atomic", False)
    with pytest.raises(InputError, match="use --mode warn"):
        Budgets(records).set("all", CENT)
    Budgets(records).set("all", CENT, BudgetMode.WARN)


def test_the_limit_of_a_job_counts_its_earlier_attempts(records: Records) -> None:
    [task] = order(1, scenes=1).tasks
    Budgets(records).reserve(order(1, scenes=1, max_cost=3 * CENT, spent={"earlier": 2 * CENT}))
    second = PricedTask(str(task_uuid("job-1", HOOK, 2)), HOOK, CENT)
    with pytest.raises(OverBudget, match=r"--max-cost has USD 0.00 left of USD 0.03.*--max-cost 0.04"):
        Budgets(records).reserve(Order("ad", "job-1", (second,), max_cost=3 * CENT, spent={"earlier": 2 * CENT}))
    assert set(records.budgets().open) == {task.uuid}


def test_thresholds_are_told_once(records: Records) -> None:
    Budgets(records).set("all", 10 * CENT)
    assert Budgets(records).reserve(order(1)).crossed == ()
    assert Budgets(records).reserve(order(2)).crossed == (("all", 70),)
    assert Budgets(records).reserve(order(3, scenes=2)).crossed == (("all", 90), ("all", 100))


def test_a_threshold_is_noticed_once_in_a_period_though_money_comes_back(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(
        "adreel.spend.notices._listeners", [lambda each: told.append((each.budget, each.percent, each.held // CENT))]
    )
    Budgets(records).set("all", 10 * CENT)
    Budgets(records).set("day", 100 * CENT)
    for number in (1, 2):
        Budgets(records).reserve(order(number))
    assert told == [("all", 70, 8)]
    for _ in range(2):
        with pytest.raises(OverBudget):
            Budgets(records).reserve(order(3))
    # A refusal counts as 100 %, though 80 % are used.
    assert told[1:] == [("all", 100, 8)]
    # With a higher cap, its thresholds are still to come.
    Budgets(records).set("all", 14 * CENT)
    Budgets(records).reserve(order(3))
    assert told[2:] == [("all", 70, 12)]


def test_a_listener_that_fails_prevents_no_purchase(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_notice: Reached) -> None:
        raise RuntimeError("nobody is there")

    monkeypatch.setattr("adreel.spend.notices._listeners", [fail])
    Budgets(records).set("all", 4 * CENT)
    assert Budgets(records).reserve(order(1)).holds is not None


def test_parallel_orders_are_admitted_exactly_to_the_cap(records: Records) -> None:
    Budgets(records).set("all", 37 * 4 * CENT)

    def admit(number: int) -> bool:
        try:
            return Budgets(Records(records.storage)).reserve(order(number)).holds is not None
        except OverBudget:
            return False

    with ThreadPoolExecutor(20) as threads:
        admitted = sum(threads.map(admit, range(100)))
    assert admitted == 37
    assert numbers(records) == (0, 37 * 4 * CENT, 0)


def test_usd_is_shown_with_at_least_cents() -> None:
    assert [show_usd(amount) for amount in (0, 52_500, 12_000_000, 1)] == [
        "USD 0.00",
        "USD 0.0525",
        "USD 12.00",
        "USD 0.000001",
    ]
