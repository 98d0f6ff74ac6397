"""Suggested actions for a scene without a clip, and their cost, by the state of its take."""

import re

import pytest

from adreel.errors import ClipKeptAside, NoCredits
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Problem, Take
from adreel.purchase.jobs import open_scenes, record_failure
from adreel.records.suggestions import Effect, suggest_action
from tests.factories import NOW, make_take
from tests.studio import JOB, studio

BUYS, MAY_BUY, DOWNLOADS = Effect.BUYS, Effect.MAY_BUY, Effect.DOWNLOADS


def failed(code: str, *, retryable: bool = False) -> Take:
    take = make_take(AttemptState.SUBMITTED)
    take.advance(AttemptState.FAILED)
    take.attempts[-1].problem = Problem(code=code, message="no", retryable=retryable)
    return take


def refused_for_credits() -> Take:
    take = make_take(AttemptState.SUBMITTED)
    take.problem = Problem.of(NoCredits("none left"))
    return take


def accepted(state: AttemptState = AttemptState.ACCEPTED) -> Take:
    take = make_take(state)
    take.attempts[-1].accepted_at = NOW
    return take


@pytest.mark.parametrize(
    ("take", "resumes", "effect", "words"),
    [
        pytest.param(None, True, BUYS, "Nothing was bought yet", id="not recorded"),
        pytest.param(make_take(None), True, BUYS, "Nothing was bought yet", id="planned"),
        pytest.param(make_take(AttemptState.PLANNED), True, BUYS, "Nothing was bought yet", id="waited for a slot"),
        pytest.param(make_take(AttemptState.SUBMITTED), True, MAY_BUY, "Runware may have the order", id="unknown fate"),
        pytest.param(refused_for_credits(), True, BUYS, "repeats the order and buys", id="no credits"),
        pytest.param(accepted(), True, DOWNLOADS, "already ordered.*another only if", id="accepted"),
        pytest.param(accepted(AttemptState.RENDERED), True, DOWNLOADS, "paid: this downloads it", id="rendered"),
        pytest.param(failed("renderFailed", retryable=True), True, BUYS, "this buys another", id="failed for now"),
        pytest.param(failed("takeFailed"), False, BUYS, "buys a new clip", id="failed for good"),
        pytest.param(failed("sceneRefused"), False, BUYS, "change it first.*buys a new clip", id="refused"),
        pytest.param(failed(ClipKeptAside.code), False, BUYS, "kept.*look at it first.*buys", id="kept aside"),
    ],
)
def test_each_state_has_its_action_and_says_what_it_costs(
    take: Take | None, resumes: bool, effect: Effect, words: str
) -> None:
    action = suggest_action(take, 2)
    assert (action.resumes, action.effect) == (resumes, effect)
    assert re.search(words, action.text)
    assert ("already ordered" in action.text) == bool(take and take.attempts and take.attempts[-1].state == "accepted")


def test_the_last_attempt_that_is_allowed_is_only_fetched() -> None:
    assert suggest_action(accepted(), 1).text == "The clip is already ordered: this downloads it."
    assert not suggest_action(failed("renderFailed", retryable=True), 1).resumes


async def test_an_order_that_an_empty_account_refused_is_not_called_ordered() -> None:
    async with studio("insufficientCreditsx1") as it:
        job = it.start(Scenario.HOOK)
        with pytest.raises(NoCredits) as refused:
            await it.produce(job=job)
        record_failure(it.records, job, Scenario.HOOK, refused.value)
        assert suggest_action(it.take(), 2).effect == BUYS
        assert (await it.produce(job=job)).is_stored
        assert len(it.bought) == 1


async def test_a_file_that_was_kept_aside_is_looked_at_before_another_clip_is_bought() -> None:
    async with studio("undecodableBytes") as it:
        job = it.start(Scenario.HOOK)
        with pytest.raises(ClipKeptAside) as kept:
            await it.produce(job=job)
        record_failure(it.records, job, Scenario.HOOK, kept.value)
        action = suggest_action(it.take(), it.settings.attempts)
        assert (action.resumes, action.effect) == (False, BUYS)
        assert "look at it first" in action.text
        assert open_scenes(it.records, it.settings, JOB) == []
