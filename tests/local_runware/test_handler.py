"""The task handler without an event loop or a socket, and with an injected clock."""

from typing import Any

from adreel.emulator.faults import Faults
from adreel.emulator.handler import RenderSettings, TaskHandler
from adreel.emulator.ledger import Ledger
from tests.local_runware.additions import draw, new_facts, play, speak
from tests.local_runware.client import Clock, poll, submit, url_of


def new_handler(clock: Clock, ledger: Ledger, *faults: str, **options: float) -> TaskHandler:
    settings = RenderSettings(render_seconds=options.pop("render_seconds", 10), **options)  # type: ignore[arg-type]
    url = "http://localhost/{}".format
    return TaskHandler(ledger, Faults(faults), settings, clock=clock, clip_url=url, facts=new_facts())


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


def test_address_of_a_file_has_its_uuid_and_suffix() -> None:
    clock, ledger = Clock(), Ledger()
    handler = new_handler(clock, ledger)
    tasks = [submit(), speak(), play(outputFormat="MP3"), draw()]
    handler.answer(tasks)
    clock.now += 10
    urls = [url_of(item) for item in handler.answer(poll(*tasks)).data]
    suffixes = (".mp4", ".flac", ".mp3", ".jpg")
    assert urls == [
        f"http://localhost/{task['taskUUID']}{suffix}" for task, suffix in zip(tasks, suffixes, strict=True)
    ]


def test_faults_are_aimed_at_kinds_and_scenes() -> None:
    clock, ledger = Clock(), Ledger()
    aimed = ("contentPolicy:still-cta", "providerTimeout:voice@2x1", "failedInData:hook", "failedTopLevel:music")
    handler = new_handler(clock, ledger, *aimed)
    tasks = [submit("Hook"), submit("Cta"), speak(), speak(), speak(), play(), draw("Hook"), draw("Cta")]
    for task in tasks:
        handler.answer([task])
        clock.now += 1
    clock.now += 10
    handler.settle()
    ends = [
        "failedInData",
        "success",
        "success",
        "providerTimeout",
        "success",
        "failedTopLevel",
        "success",
        "contentPolicy",
    ]
    assert [entry.outcome for entry in ledger.entries] == ends


def test_refused_submit_names_its_task_type() -> None:
    handler = new_handler(Clock(), Ledger(), "serverError:voice", "conflictWithoutTask:music", "invalidModel:still")
    replies = [handler.answer([task]).errors[0] for task in (speak(), play(), draw())]
    assert [(error["code"], error["taskType"]) for error in replies] == [
        ("internalServerError", "audioInference"),
        ("conflictTaskUUID", "audioInference"),
        ("invalidModel", "imageInference"),
    ]


def test_success_of_a_sound_or_a_still_can_lack_its_url() -> None:
    clock, ledger, tasks = Clock(), Ledger(), [speak(), draw()]
    handler = new_handler(clock, ledger, "successWithoutUrlx2")
    handler.answer(tasks)
    clock.now += 10
    lacking = handler.answer(poll(*tasks)).data
    assert all("audioUUID" in item or "imageUUID" in item for item in lacking)
    assert not any(name.endswith("URL") for item in lacking for name in item)
    assert all(url_of(item) for item in handler.answer(poll(*tasks)).data)


def test_estimate_makes_no_task() -> None:
    ledger = Ledger()
    [item] = new_handler(Clock(), ledger).answer([play()], dry_run=True).data
    assert (item["cost"], item["taskType"], ledger.entries) == (0.00195, "audioInference", [])


def test_odd_task_types_and_speech_are_refused() -> None:
    handler = new_handler(Clock(), Ledger())
    kinds: tuple[Any, ...] = (["audioInference"], {}, None, 7)
    speeches: tuple[Any, ...] = ([], [1], "text", 7, {"text": {}}, {"text": ["a"], "voice": {}})
    for kind in kinds:
        assert handler.answer([{**speak(), "taskType": kind}]).errors[0]["code"] == "unsupportedTaskType"
    for speech in speeches:
        assert handler.answer([{**speak(), "speech": speech}]).errors[0]["taskType"] == "audioInference"


def test_voice_is_refused_that_the_account_can_not_pay() -> None:
    handler = new_handler(Clock(), Ledger(), credits=0.005)
    assert [item["code"] for item in handler.answer([speak(), speak()]).errors] == ["insufficientCredits"]


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
