"""Takes: what identifies them, how far they have come, what they cost."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adreel.errors import NoCredits, RenderFailed
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.takes import PROGRESS, AttemptState, Problem, clip_name, task_uuid
from tests.factories import NOW, make_take

ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
keys = st.tuples(ids, st.sampled_from(Scenario), st.integers(1, 50))


@given(keys)
def test_a_task_uuid_is_shaped_as_a_v4_and_the_same_again(key: tuple[str, Scenario, int]) -> None:
    uuid = task_uuid(*key)
    assert (uuid.version, uuid.variant) == (4, "specified in RFC 4122")
    assert task_uuid(*key) == uuid


@given(st.lists(keys, unique=True, min_size=2))
def test_different_purchases_have_different_task_uuids(different: list[tuple[str, Scenario, int]]) -> None:
    assert len({task_uuid(*key) for key in different}) == len(different)


def test_a_task_uuid_is_the_same_in_every_version() -> None:
    assert str(task_uuid("job-1", Scenario.HOOK, 1)) == "00697dbb-eea1-4493-8d42-caef4294809f"


@given(st.lists(st.sampled_from([*AttemptState, "fetched", "again"])))
def test_progress_never_falls_and_ends_only_with_a_stored_clip(steps: list[AttemptState | str]) -> None:
    take = make_take(AttemptState.PLANNED)
    seen = [take.progress]
    for step in steps:
        if isinstance(step, AttemptState):
            take.advance(step)
        elif step == "fetched":
            take.reach(step)
        else:
            take.plan_attempt(NOW)
        seen.append(take.progress)
    assert seen == sorted(seen)
    assert (seen[-1] == 100) == (AttemptState.STORED in steps)


def test_progress_has_the_steps_of_the_design() -> None:
    shown = [PROGRESS[step] for step in ("submitted", "accepted", "rendered", "fetched", "stored")]
    assert shown == [10, 30, 70, 80, 100]


@pytest.mark.parametrize(
    ("costs", "total"),
    [
        pytest.param([], None, id="nothing bought"),
        pytest.param([0.1], 0.1, id="one"),
        pytest.param([0.1, 0.2], 0.3, id="two, rounded"),
        pytest.param([0.0], 0.0, id="known to be free"),
        pytest.param([None], None, id="unknown"),
        pytest.param([None, 0.2], None, id="one unknown"),
    ],
)
def test_a_cost_is_the_sum_or_null_if_any_attempt_is_unknown(costs: list[float | None], total: float | None) -> None:
    take = make_take(None)
    for cost in costs:
        attempt = take.plan_attempt(NOW)
        attempt.cost, attempt.accepted_at = cost, NOW
        take.advance(AttemptState.FAILED)
    assert take.cost == total


@pytest.mark.parametrize("accepted", [False, True], ids=["alone", "beside an accepted attempt"])
def test_a_refused_attempt_costs_nothing(*, accepted: bool) -> None:
    take = make_take(AttemptState.STORED, cost=0.1) if accepted else make_take(None)
    if accepted:
        take.attempts[-1].accepted_at = NOW
    take.plan_attempt(NOW)
    take.advance(AttemptState.SUBMITTED)
    assert take.cost is None
    take.advance(AttemptState.FAILED)
    assert take.cost == (0.1 if accepted else 0)


def test_an_old_record_of_a_failed_task_that_was_accepted_does_not_say_free() -> None:
    take = make_take(AttemptState.ACCEPTED, cost=None)
    take.advance(AttemptState.FAILED)
    assert take.attempts[-1].accepted_at is None
    assert take.cost is None


def test_a_planned_attempt_costs_nothing_yet() -> None:
    take = make_take(AttemptState.STORED, cost=0.1)
    take.plan_attempt(NOW)
    assert take.cost == 0.1


@pytest.mark.parametrize(("reached", "problem"), [*product([None, *AttemptState], [None, "gone"])])
def test_the_state_of_a_take_follows_from_its_record(reached: AttemptState | None, problem: str | None) -> None:
    take = make_take(reached, problem=problem)
    if reached == AttemptState.STORED:
        assert take.state == State.COMPLETED
    else:
        assert take.state == (State.FAILED if problem else State.GENERATING)


@pytest.mark.parametrize("reached", [None, *AttemptState])
def test_a_take_is_open_while_runware_may_have_its_clip(reached: AttemptState | None) -> None:
    open_states = {AttemptState.SUBMITTED, AttemptState.ACCEPTED, AttemptState.RENDERED}
    assert make_take(reached).is_open == (reached in open_states)


def test_a_clip_is_named_for_its_session_scenario_and_task() -> None:
    take = make_take(AttemptState.ACCEPTED, scenario=Scenario.CTA)
    start = task_uuid("job-1", Scenario.CTA, 1).hex[:8]
    assert clip_name(take) == f"ad_cta_{start}.mp4"
    assert clip_name(take, ".jpg") == f"ad_cta_{start}.jpg"
    assert take.short_id == start


def test_a_second_attempt_has_a_clip_and_a_uuid_of_its_own() -> None:
    take = make_take(AttemptState.FAILED)
    first = clip_name(take)
    assert take.plan_attempt(NOW).uuid == task_uuid("job-1", Scenario.HOOK, 2)
    assert clip_name(take) != first


def test_a_take_without_an_attempt_has_the_handle_of_its_first() -> None:
    assert make_take(None).short_id == make_take(AttemptState.PLANNED).short_id


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (NoCredits("none left"), Problem(code="noCredits", message="none left", retryable=False)),
        (RenderFailed("broke"), Problem(code="renderFailed", message="broke", retryable=True)),
        (KeyError("x"), Problem(code="unexpected", message="KeyError: 'x'", retryable=False)),
    ],
    ids=["final", "retryable", "a bug"],
)
def test_a_problem_keeps_what_an_error_says(error: Exception, problem: Problem) -> None:
    assert Problem.of(error) == problem
