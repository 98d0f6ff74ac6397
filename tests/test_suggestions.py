"""Suggested actions for a scene without a clip, and their cost, by the state of its take."""

import asyncio
import re
from functools import partial

import pytest

from adreel.errors import AdreelError, BuyingStopped, ClipKeptAside, NoCredits
from adreel.models.parts import STILLS, VOICES, Addition, Part
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Problem, Take, task_uuid
from adreel.purchase.jobs import open_scenes, record_failure, start_job
from adreel.records.suggestions import Effect, SuggestedAction, suggest_action, without_commands
from adreel.storage.crash_points import visit_crash_points
from tests.factories import NOW, make_take
from tests.studio import JOB, Studio, studio

BUYS, MAY_BUY, DOWNLOADS = Effect.BUYS, Effect.MAY_BUY, Effect.DOWNLOADS


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "session 'ad' was changed meanwhile: nothing is saved yet",
            "ad 'ad' was changed meanwhile: nothing is saved yet",
        ),
        ("no image of this session: use `adreel new`", "no image of this ad"),
        ("a session of two sessions", "an ad of two ads"),
        ("sessions/ad/session.json is no record", "sessions/ad/session.json is no record"),
        ("the image 'session one.png' is gone", "the image 'session one.png' is gone"),
        ("the budget session:ad has $0.00 left", "the budget session:ad has $0.00 left"),
    ],
)
def test_pages_say_ad_and_name_no_command(message: str, told: str) -> None:
    assert without_commands(message) == told


def failed(code: str, *, retryable: bool = False) -> Take:
    take = make_take(AttemptState.SUBMITTED)
    take.advance(AttemptState.FAILED)
    take.attempts[-1].problem = Problem(code=code, message="no", retryable=retryable)
    return take


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (Scenario.HOOK, "Nothing was bought: this buys the clip."),
        (VOICES[Scenario.HOOK], "Nothing was bought: this buys the voice."),
        (STILLS[Scenario.HOOK], "Nothing was bought: this buys the still."),
        (Addition.MUSIC, "Nothing was bought: this buys the piece of music."),
    ],
)
def test_each_part_is_called_what_it_is(part: Part, told: str) -> None:
    assert suggest_action(make_take(None, scenario=part), 3).text == told


def refused_for_credits() -> Take:
    take = make_take(AttemptState.SUBMITTED)
    take.problem = Problem.of(NoCredits("none left"))
    return take


def accepted(state: AttemptState = AttemptState.ACCEPTED) -> Take:
    take = make_take(state)
    take.attempts[-1].accepted_at = NOW
    return take


def failed_after_acceptance() -> Take:
    take = failed("sceneRefused")
    take.attempts[-1].accepted_at = NOW
    return take


@pytest.mark.parametrize(
    ("take", "resumes", "effect", "words"),
    [
        pytest.param(None, True, BUYS, "Nothing was bought: this buys the clip", id="not recorded"),
        pytest.param(make_take(None), True, BUYS, "Nothing was bought: this buys the clip", id="planned"),
        pytest.param(make_take(AttemptState.PLANNED), True, BUYS, "Nothing was bought", id="waited for a slot"),
        pytest.param(
            make_take(AttemptState.SUBMITTED), True, MAY_BUY, "may be ordered.*looks first", id="unknown fate"
        ),
        pytest.param(refused_for_credits(), True, BUYS, "Nothing was bought", id="no credits"),
        pytest.param(accepted(), True, DOWNLOADS, "ordered already.*another only if", id="accepted"),
        pytest.param(accepted(AttemptState.RENDERED), True, DOWNLOADS, "paid.*buys nothing", id="rendered"),
        pytest.param(failed("renderFailed", retryable=True), True, BUYS, "this buys another", id="failed for now"),
        pytest.param(failed("renderFailed"), False, BUYS, "^This buys a new clip", id="failed for good"),
        pytest.param(failed("sceneRefused"), False, BUYS, "change it first. Nothing was bought", id="refused at once"),
        pytest.param(failed_after_acceptance(), False, BUYS, "change it first. This buys a new", id="refused later"),
        pytest.param(failed(ClipKeptAside.code), False, BUYS, "kept.*look at it first", id="kept aside"),
    ],
)
def test_each_state_has_its_action_and_says_what_it_costs(
    take: Take | None, resumes: bool, effect: Effect, words: str
) -> None:
    action = suggest_action(take, 2)
    assert (action.resumes, action.effect) == (resumes, effect)
    assert re.search(words, action.text)
    assert ("is ordered" in action.text) == bool(take and take.attempts and take.attempts[-1].state == "accepted")


def test_the_last_attempt_that_is_allowed_is_only_fetched() -> None:
    assert suggest_action(accepted(), 1).text == "It is ordered already: this downloads the clip and buys nothing."
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


def all_codes(kind: type[AdreelError] = AdreelError) -> set[str]:
    """Return the codes of all errors, and those of problems without one."""
    return {kind.code, "unexpected", *(code for each in kind.__subclasses__() for code in all_codes(each))}


STATES = {
    "planned": None,
    "sent, and lost": "before the submit",
    "ordered, and the reply lost": "after the submit",
    "accepted": "after the record: 30",
    "rendered": "after the record: 70",
}
"""By state: the crash point at which the first run ends."""
NEVER_ACCEPTED = {NoCredits.code, BuyingStopped.code}
"""Codes of a submit that Runware is known not to have accepted."""


@pytest.mark.parametrize("state", STATES)
async def test_for_each_problem_the_button_says_what_it_buys(state: str) -> None:
    codes = sorted(all_codes() - (NEVER_ACCEPTED if state not in {"planned", "sent, and lost"} else set()))
    async with studio(render_seconds=0, account=100) as it:
        actions = await asyncio.gather(*(press_after(it, f"job-{code}", code, STATES[state]) for code in codes))
    refused = NEVER_ACCEPTED if state == "sent, and lost" else set()
    effects = {"planned": BUYS, "accepted": DOWNLOADS, "rendered": DOWNLOADS}
    for code, action in zip(codes, actions, strict=True):
        assert action.effect == (BUYS if code in refused else effects.get(state, MAY_BUY)), code


async def press_after(it: Studio, job_id: str, code: str, crash: str | None) -> SuggestedAction:
    """Resume a take that ended with a problem, and compare the promise of its action with the emulator's ledger."""
    job = start_job(it.records, it.settings, job_id, "ad", scenarios=[Scenario.HOOK])
    if crash:
        with visit_crash_points(partial(end_at, crash)), pytest.raises(Ended):
            await it.produce(job=job)
    take = it.records.take("ad", Scenario.HOOK, job_id)
    assert take is not None
    take.problem = Problem(code=code, message="no")
    it.records.update_take(take, lambda _latest: False)
    uuid = str(task_uuid(job_id, Scenario.HOOK, 1))
    action = suggest_action(take, 1)
    before = it.bought.count(uuid)
    assert action.resumes
    assert (await it.produce(job=job)).is_stored
    bought = it.bought.count(uuid) - before
    # A lost order is in the ledger or not: the words promise neither.
    assert bought == {BUYS: 1, DOWNLOADS: 0, MAY_BUY: 1 - before}[action.effect]
    assert ("buys nothing" in action.text) == (action.effect == DOWNLOADS)
    assert ("looks first" in action.text) == (action.effect == MAY_BUY)
    return action


class Ended(BaseException):
    """The end of a process, as far as the code under test can tell."""


def end_at(name: str, reached: str) -> None:
    if reached == name:
        raise Ended


@pytest.mark.parametrize(
    ("fault", "words", "accepted"),
    [
        ("invalidParameter", "Nothing was bought: this buys the clip.", 0),
        ("invalidModel", "Nothing was bought: this buys the clip.", 0),
        ("contentPolicy", "This buys a new clip.", 1),
        ("failedInData", "This buys a new clip.", 1),
        ("providerTimeout", "This buys a new clip.", 1),
        ("undecodableBytes", "This buys a new clip.", 1),
    ],
)
async def test_after_a_failure_for_good_a_retry_buys_one_clip(fault: str, words: str, accepted: int) -> None:
    async with studio(f"{fault}x1", ADREEL_ATTEMPTS=1) as it:
        job = it.start(Scenario.HOOK)
        with pytest.raises(AdreelError) as failure:
            await it.produce(job=job)
        record_failure(it.records, job, Scenario.HOOK, failure.value)
        action = suggest_action(it.take(), 1)
        assert (action.resumes, action.effect, len(it.bought)) == (False, BUYS, accepted)
        assert action.text.endswith(words)
        assert (await it.produce(job=it.start_another(Scenario.HOOK))).is_stored
        assert len(it.bought) == accepted + 1
