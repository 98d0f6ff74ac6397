"""The task handler without an event loop or a socket, and with an injected clock."""

from adreel.emulator.faults import Faults
from adreel.emulator.handler import RenderSettings, TaskHandler
from adreel.emulator.ledger import Ledger
from tests.local_runware.client import Clock, poll, submit


def new_handler(clock: Clock, ledger: Ledger, *faults: str, **options: float) -> TaskHandler:
    settings = RenderSettings(render_seconds=options.pop("render_seconds", 10), **options)  # type: ignore[arg-type]
    return TaskHandler(ledger, Faults(faults), settings, clock=clock, clip_url="http://localhost/{}".format)


def test_render_ends_when_the_clock_says_so() -> None:
    clock, ledger, task = Clock(), Ledger(), submit("Cta")
    handler = new_handler(clock, ledger)
    handler.answer([task])
    clock.now += 9.9
    assert handler.answer(poll(task)).data[0]["progress"] == 99
    clock.now += 0.2
    assert handler.answer(poll(task)).data[0]["status"] == "success"
    [entry] = ledger.entries
    assert entry.ended_at == entry.due_at == entry.accepted_at + 10


def test_jitter_follows_from_the_uuid() -> None:
    clock, tasks = Clock(), [submit(), submit()]
    lengths = []
    for ledger in (Ledger(), Ledger()):
        new_handler(clock, ledger, render_jitter=5).answer(tasks)
        lengths.append([(entry.due_at or 0) - entry.accepted_at for entry in ledger.entries])
    assert lengths[0] == lengths[1]
    assert lengths[0][0] != lengths[0][1]
    assert all(10 <= length <= 15 for length in lengths[0])


def test_failures_strike_in_the_order_in_which_tasks_end() -> None:
    clock, ledger, tasks = Clock(), Ledger(), [submit(), submit(), submit()]
    handler = new_handler(clock, ledger, "providerTimeout@2x1")
    for task in tasks:
        handler.answer([task])
        clock.now += 1
    clock.now += 60
    handler.settle()
    assert [entry.outcome for entry in ledger.entries] == ["success", "providerTimeout", "success"]


def test_an_account_with_credits_refuses_what_it_can_not_pay() -> None:
    clock, ledger = Clock(), Ledger()
    handler = new_handler(clock, ledger, "providerTimeout@1x1", price=2, credits=5)
    tasks = [submit(), submit(), submit()]
    assert [item["code"] for item in handler.answer(tasks).errors] == ["insufficientCredits"]
    assert balance(handler) == 1
    clock.now += 20
    handler.settle()
    # The first render has failed, and a failed render is not billed.
    assert balance(handler) == 3
    handler.answer([tasks[2]])
    handler.add_credits(10)
    assert (len(ledger.entries), balance(handler)) == (3, 11)


def balance(handler: TaskHandler) -> float:
    [item] = handler.answer([{"taskType": "accountManagement", "taskUUID": "1", "operation": "getDetails"}]).data
    return float(item["balance"])
