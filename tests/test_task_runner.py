"""The one-loop task runner, against a real Prefect server."""

import asyncio
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from prefect import Flow, Task, allow_failure, flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterId, TaskRunFilterState, TaskRunFilterStateType
from prefect.client.schemas.objects import TERMINAL_STATES, State
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner

from adreel.orchestration.task_runner import OneLoopTaskRunner

# Prefect warns that logs of a task outside a flow do not reach its API.
outside_a_flow = pytest.mark.filterwarnings("ignore:Logger 'prefect.task_runs' attempted to send logs:UserWarning")

FINAL = TaskRunFilterState(type=TaskRunFilterStateType(any_=list(TERMINAL_STATES)))

pytestmark = pytest.mark.usefixtures("prefect_server")


def ended(body: Callable[[], Any], cancel_timeout: float = 30) -> State[Any]:
    """Run the body as a flow on a runner of its own and return the flow run's state."""
    as_flow: Flow[[], Any] = flow(task_runner=OneLoopTaskRunner(cancel_timeout))(body)
    state: Any = as_flow(return_state=True)
    assert isinstance(state, State)
    return state


def settled(futures: list[PrefectFuture[Any]]) -> list[State[Any]]:
    wait(futures)
    return [future.state for future in futures]


def outcomes(futures: list[PrefectFuture[Any]]) -> list[Any]:
    return [state.result(raise_on_failure=False) for state in settled(futures)]


def recorded_state(future: PrefectFuture[Any]) -> State[Any]:
    """Return the final state that the server has of a task run; it learns of it in the background."""
    runs = TaskRunFilter(id=TaskRunFilterId(any_=[future.task_run_id]), state=FINAL)
    deadline = time.monotonic() + 30
    state: State[Any] | None = None
    with get_client(sync_client=True) as client:
        # Prefect may return a run for its final state before it returns that state.
        while state is None and time.monotonic() < deadline:
            time.sleep(0.1)
            state = next((run.state for run in client.read_task_runs(task_run_filter=runs)), None)
    assert state is not None
    return state


def runner_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "adreel-tasks"]


@task
async def double(number: Any) -> int:
    return 2 * int(number)


@task
async def whereabouts(number: int) -> tuple[int, int, int]:
    await asyncio.sleep(0.05)
    return id(asyncio.get_running_loop()), threading.get_ident(), id(get_client())


class Sleepers:
    """Tasks that sleep until cancelled, and say so."""

    def __init__(self, count: int) -> None:
        self.asleep = threading.Event()
        self.woken: list[int] = []
        self.count = count
        self._slept = 0

    def task(self) -> Task[[int], Any]:
        @task
        async def sleeper(number: int) -> None:
            self._slept += 1
            if self._slept == self.count:
                self.asleep.set()
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)
                self.woken.append(number)
                raise

        return sleeper


def test_all_tasks_of_a_map_share_one_loop_one_thread_and_one_client() -> None:
    seen: list[tuple[int, int, int]] = []
    ended(lambda: seen.extend(outcomes(whereabouts.map(range(5)))))
    assert len(seen) == 5
    assert len(set(seen)) == 1
    assert seen[0][1] != threading.get_ident()


def test_tasks_overlap() -> None:
    @task
    async def meet(barrier: asyncio.Barrier) -> None:
        await barrier.wait()

    def body() -> None:
        meeting = asyncio.Barrier(3)
        assert all(state.is_completed() for state in settled([meet.submit(meeting) for _ in range(3)]))

    assert ended(body).is_completed()


def test_a_retry_waits_without_holding_up_the_others() -> None:
    tries: list[str] = []
    failed = asyncio.Event()

    @task(retries=1, retry_delay_seconds=0.5)
    async def flaky() -> str:
        tries.append("flaky")
        if not failed.is_set():
            failed.set()
            raise ConnectionError("gone")
        return "back"

    @task
    async def steady() -> None:
        await failed.wait()
        tries.append("steady")

    def body() -> None:
        assert outcomes([flaky.submit(), steady.submit()]) == ["back", None]

    assert ended(body).is_completed()
    assert tries == ["flaky", "steady", "flaky"]


def test_one_failure_leaves_the_others() -> None:
    @task
    async def inverse(number: int) -> float:
        await asyncio.sleep(0.02 * number)
        return 1 / number

    states: list[State[Any]] = []
    ended(lambda: states.extend(settled(inverse.map([0, 1, 2]))))
    assert [state.name for state in states] == ["Failed", "Completed", "Completed"]


def test_a_flow_that_raises_cancels_each_running_task_and_lets_it_clean_up() -> None:
    sleepers = Sleepers(3)

    def body() -> None:
        sleepers.task().map(range(3))
        sleepers.asleep.wait(10)
        raise KeyError("the flow's own")

    state = ended(body)
    assert sorted(sleepers.woken) == [0, 1, 2]
    assert state.is_failed()
    assert "the flow's own" in (state.message or "")


def test_a_flow_that_is_interrupted_cancels_its_tasks() -> None:
    sleepers = Sleepers(1)

    def body() -> None:
        sleepers.task().map([7])
        sleepers.asleep.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ended(body)
    assert sleepers.woken == [7]


def test_a_cancelled_task_run_is_told_to_the_server_as_crashed() -> None:
    sleepers = Sleepers(1)
    futures: list[PrefectFuture[Any]] = []

    def body() -> None:
        futures.append(sleepers.task().submit(0))
        sleepers.asleep.wait(10)

    ended(body)
    assert recorded_state(futures[0]).is_crashed()


def test_a_task_that_ignores_its_cancelling_does_not_hold_the_flow_for_ever() -> None:
    started, released = threading.Event(), threading.Event()

    @task
    async def stubborn() -> None:
        started.set()
        while not released.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    def body() -> None:
        stubborn.submit()
        started.wait(10)

    before = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adreel.orchestration.task_runner.CLOSE_TIMEOUT", 0.2)
        assert ended(body, cancel_timeout=0.2).is_completed()
    assert time.monotonic() - before < 10
    released.set()
    for thread in runner_threads():
        thread.join(10)


def test_a_future_is_a_good_input_for_a_later_task() -> None:
    results: list[int] = []
    ended(lambda: results.extend(outcomes([double.submit(double.submit(4))])))
    assert results == [16]


def test_a_task_waits_for_the_futures_in_wait_for_and_in_collections() -> None:
    order: list[str] = []

    @task
    async def note(name: str, pause: float, *, after: object = None) -> str:
        await asyncio.sleep(pause)
        order.append(name)
        return name

    def body() -> None:
        slow = note.submit("slow", 0.2)
        listed = note.submit("listed", 0, after={"deep": [slow]})
        settled([note.submit("last", 0, wait_for=[listed], return_state=False)])

    assert ended(body).is_completed()
    assert order == ["slow", "listed", "last"]


def test_a_failed_input_keeps_the_later_task_from_running_unless_allowed() -> None:
    @task
    async def fail() -> int:
        raise ValueError("no")

    @task
    async def accept(outcome: object) -> bool:
        return isinstance(outcome, ValueError)

    def body() -> None:
        failed = fail.submit()
        refused, accepted = settled([accept.submit(failed), accept.submit(allow_failure(failed))])
        assert refused.name == "NotReady"
        assert accepted.result() is True

    assert ended(body).is_completed()


def test_a_mapping_over_a_future_of_a_list_works() -> None:
    @task
    async def listing() -> list[int]:
        return [1, 2]

    results: list[int] = []
    ended(lambda: results.extend(outcomes(double.map(listing.submit()))))
    assert results == [2, 4]


@pytest.mark.parametrize("kind", ["sync", "generator"])
def test_a_task_that_is_no_coroutine_function_is_refused(kind: str) -> None:
    async def stream() -> Any:
        yield 1

    def at_once() -> int:
        return 1

    functions: dict[str, Callable[..., Any]] = {"sync": at_once, "generator": stream}
    wrong: Task[..., Any] = task(functions[kind])
    with OneLoopTaskRunner() as runner, pytest.raises(TypeError, match="not a coroutine function"):
        runner.submit(wrong, {})


def test_submitting_from_a_task_is_refused_and_awaiting_there_works() -> None:
    @task
    async def submits() -> None:
        double.submit(1)

    @task
    async def awaits() -> int:
        return await double(21)

    def body() -> None:
        refused, result = outcomes([submits.submit(), awaits.submit()])
        assert "await it instead" in str(refused)
        assert result == 42

    assert ended(body).is_completed()


@outside_a_flow
def test_a_runner_can_be_entered_again_after_its_exit_and_leaves_no_thread() -> None:
    runner = OneLoopTaskRunner()
    for number in (1, 2):
        with runner:
            assert runner.submit(double, {"number": number}).result() == 2 * number
            assert len(runner_threads()) == 1
        assert runner_threads() == []


def test_a_runner_that_is_not_started_refuses_work() -> None:
    with pytest.raises(RuntimeError, match="started"):
        OneLoopTaskRunner().submit(double, {"number": 1})


@outside_a_flow
def test_a_runner_that_cannot_reach_the_server_says_so_and_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no server")

    monkeypatch.setattr("adreel.orchestration.task_runner.AsyncClientContext", unreachable)
    runner = OneLoopTaskRunner()
    with pytest.raises(ConnectionError, match="no server"), runner:
        pass
    monkeypatch.undo()
    with runner:
        assert runner.submit(double, {"number": 1}).result() == 2
    assert runner_threads() == []


def test_a_runner_can_be_pickled_even_while_it_runs() -> None:
    with OneLoopTaskRunner(3) as runner:
        assert pickle.loads(pickle.dumps(runner)) == runner.duplicate() == OneLoopTaskRunner(3)  # noqa: S301
    assert OneLoopTaskRunner(3) != OneLoopTaskRunner(4)
    assert OneLoopTaskRunner() != ThreadPoolTaskRunner()
