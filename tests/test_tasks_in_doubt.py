"""Two runners of one job send the same task, and Runware refuses the first submit and accepts a later one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adreel.errors import NoCredits, RenderFailed, SceneRefused, TaskInDoubt
from adreel.models import takes
from adreel.models.scenarios import Scenario
from adreel.models.takes import SUBMIT_DEADLINE, AttemptState, Take, utc_now
from adreel.purchase.jobs import open_scenes, record_failure, resume_job
from adreel.purchase.state_machine import Purchase
from adreel.purchase.uploads import SentImages
from adreel.records.suggestions import Effect, suggest_action
from adreel.storage.crash_points import visit_crash_points
from tests.studio import JOB, Studio, studio

HOOK = Scenario.HOOK


class Killed(BaseException):
    """The death of a runner."""


class Twins:
    """Two runners that are about to send the same task."""

    def __init__(self, it: Studio, gates: list[asyncio.Event], runs: list[asyncio.Task[Take]]) -> None:
        self.it = it
        self._gates = gates
        self._runs = runs

    async def send(self, number: int) -> Take:
        """Let a runner send, and return its take."""
        self._gates[number].set()
        return await self._runs[number]


@asynccontextmanager
async def twins(monkeypatch: pytest.MonkeyPatch, killed_at: str = "") -> AsyncIterator[Twins]:
    """Start two runners whose first submit is refused, though a next attempt may help. The second can be killed."""
    gates: list[asyncio.Event] = []
    sending = asyncio.Semaphore(0)
    send = Purchase._send

    async def wait(purchase: Purchase, images: SentImages) -> None:
        gates.append(asyncio.Event())
        sending.release()
        await gates[-1].wait()
        await send(purchase, images)

    def kill(point: str) -> None:
        if point == killed_at:
            raise Killed

    async def produce(it: Studio, number: int) -> Take:
        if number == 0:
            return await it.produce(job=it.start(HOOK))
        with visit_crash_points(kill):
            return await it.produce(job=it.start(HOOK))

    monkeypatch.setattr(SceneRefused, "retryable", True)
    async with studio("invalidParameter@1x1", ADREEL_ATTEMPTS=2) as it:
        with monkeypatch.context() as patch:
            patch.setattr(Purchase, "_send", wait)
            runs = []
            for number in range(2):
                runs.append(asyncio.create_task(produce(it, number)))
                await asyncio.wait_for(sending.acquire(), 10)
        yield Twins(it, gates, runs)


async def resume(it: Studio) -> Take:
    [(job, [scenario])] = open_scenes(it.records, it.settings, JOB)
    return await it.produce(scenario, job=resume_job(it.records, it.settings, job))


async def test_a_task_that_another_runner_may_send_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async with twins(monkeypatch) as both:
        it = both.it
        with pytest.raises(TaskInDoubt, match=r"another run may still buy this clip: `adreel resume` after 2\d{3}-"):
            await both.send(0)
        take = it.take()
        assert take.cost is None
        assert not take.can_continue(9)
        assert suggest_action(take, 9).effect == Effect.MAY_BUY
        assert suggest_action(take, 9).text.startswith("Another run may still buy this clip: wait until ")
        with pytest.raises(TaskInDoubt):
            await resume(it)
        assert it.bought == []
        take = await both.send(1)
        assert take.is_stored
        assert (take.problem, take.attempts[0].problem, take.attempts[0].senders) == (None, None, {})
        assert it.bought == [str(attempt.uuid) for attempt in take.attempts]


async def test_a_task_that_a_killed_runner_bought_is_found_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with twins(monkeypatch, killed_at="after the submit") as both:
        it = both.it
        with pytest.raises(TaskInDoubt):
            await both.send(0)
        with pytest.raises(Killed):
            await both.send(1)
        assert it.take().is_in_doubt
        monkeypatch.setattr(takes, "utc_now", lambda: utc_now() + 2 * SUBMIT_DEADLINE)
        assert suggest_action(it.take(), 9).text.startswith("It may be ordered already: this looks first")
        take = await resume(it)
        assert take.is_stored
        assert it.bought == [str(attempt.uuid) for attempt in take.attempts]


async def test_a_task_that_a_killed_runner_never_sent_is_replaced_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with twins(monkeypatch, killed_at="after the submit") as both:
        it = both.it
        with pytest.raises(TaskInDoubt):
            await both.send(0)
        monkeypatch.setattr(takes, "utc_now", lambda: utc_now() + 2 * SUBMIT_DEADLINE)
        take = await resume(it)
        assert [attempt.state for attempt in take.attempts] == [AttemptState.FAILED, AttemptState.STORED]
        assert it.bought == [str(take.attempts[1].uuid)]
        assert take.attempts[0].senders == {}


async def test_an_older_mark_does_not_delay_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SceneRefused, "retryable", True)
    async with studio("invalidParameter@1x1", ADREEL_ATTEMPTS=2) as it:
        job = it.start(HOOK)
        take = it.take()
        take.plan_attempt(utc_now())
        take.advance(AttemptState.SUBMITTED)
        take.attempts[0].senders = {"killed": utc_now() - 2 * SUBMIT_DEADLINE}
        it.records.save_take(take)
        with pytest.raises(RenderFailed):
            await it.produce(job=job)
        assert (await it.produce(job=job)).is_stored
        assert len(it.bought) == 1


async def test_a_runner_without_credits_leaves_no_mark() -> None:
    async with studio("insufficientCredits@1x1") as it:
        job = it.start(HOOK)
        with pytest.raises(NoCredits) as refused:
            await it.produce(job=job)
        [mark] = it.take().attempts[0].senders
        assert mark == job.mark
        record_failure(it.records, job, HOOK, refused.value)
        assert it.take().attempts[0].senders == {}
