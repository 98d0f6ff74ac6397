"""Polls shrink after an oversized answer, and the cost of a reply does not grow with the open tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from math import log2
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adreel.runware.connection import Connection
from adreel.runware.lookups import Lookups
from adreel.runware.polls import LEAST, Polls
from adreel.runware.replies import InProgress


@given(st.integers(1, 3000), st.data())
def test_the_task_to_blame_is_found_in_a_few_polls(number: int, data: st.DataObject) -> None:
    tasks = dict.fromkeys(uuid4() for _ in range(number))
    poison = data.draw(st.sampled_from(list(tasks)))
    polls, overflows, blamed = Polls(), 0, None
    for _ in range(2 * int(log2(number)) + 2):
        if poison in polls.next(tasks):
            overflows += 1
            if blamed := polls.note_overflow():
                break
        else:
            polls.note_answer()
    assert blamed == poison
    assert overflows <= log2(number) + 2
    assert not polls.is_searching
    del tasks[poison]
    assert polls.next(tasks) == list(tasks)


def test_answers_that_are_too_large_together_are_asked_for_in_turns() -> None:
    tasks = dict.fromkeys(uuid4() for _ in range(1000))
    polls, heard = Polls(), set()
    for _ in range(20):
        asked = polls.next(tasks)
        if len(asked) > 600:
            assert polls.note_overflow() is None
            continue
        heard.update(asked)
        if polls.is_searching:
            polls.note_answer()
    assert heard == set(tasks)
    assert len(polls.next(tasks)) == 500


def test_few_tasks_once_too_large_do_not_slow_thousands_down() -> None:
    polls = Polls()
    polls.next(dict.fromkeys([uuid4(), uuid4()]))
    polls.note_overflow()
    for _ in range(2):
        polls.next(dict.fromkeys(polls._suspects))
        polls.note_answer()
    assert len(polls.next(dict.fromkeys(uuid4() for _ in range(5000)))) >= LEAST


class Counted(UUID):
    """A task's UUID that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return super().__eq__(other)

    __hash__ = UUID.__hash__


async def comparisons_of_replies(open_tasks: int) -> int:
    """Count the comparisons of 100 replies among a number of open look-ups."""
    never: Callable[[], Awaitable[Connection]] = asyncio.Event().wait  # type: ignore[assignment]
    lookups = Lookups(never, limit=60)
    uuids = [Counted(int=number) for number in range(open_tasks)]
    asking = [asyncio.create_task(lookups.ask(uuid)) for uuid in uuids]
    await asyncio.sleep(0)
    Counted.comparisons = 0
    for uuid in uuids[-100:]:
        lookups.hear(InProgress(Counted(int=uuid.int)))
    answers = await asyncio.gather(*asking[-100:])
    assert [answer and answer.uuid for answer in answers] == uuids[-100:]
    counted = Counted.comparisons
    await lookups.close()
    await asyncio.gather(*asking, return_exceptions=True)
    return counted


async def test_a_reply_costs_no_more_among_ten_thousand_open_look_ups() -> None:
    few, many = await comparisons_of_replies(1000), await comparisons_of_replies(10_000)
    assert many <= 1.5 * few < 1500


@pytest.mark.parametrize("closed", [0, 1])
async def test_of_two_who_ask_about_one_task_either_may_leave(closed: int) -> None:
    never: Callable[[], Awaitable[Connection]] = asyncio.Event().wait  # type: ignore[assignment]
    lookups, uuid = Lookups(never, limit=60), uuid4()
    asking = [asyncio.create_task(lookups.ask(uuid)) for _ in range(2)]
    await asyncio.sleep(0)
    asking.pop(closed).cancel()
    await asyncio.sleep(0)
    lookups.hear(InProgress(uuid))
    assert await asking[0] == InProgress(uuid)
    await lookups.close()
