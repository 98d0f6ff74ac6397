"""The ledger: accepted tasks, their outcomes and bills, and its survival of the server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from adreel.emulator import Ledger, LocalRunware, in_thread
from tests.local_runware.additions import draw, new_facts, play, speak
from tests.local_runware.client import Clock, Starting, poll, running, submit, url_of
from tests.local_runware.test_input_images import RED, data_uri, picture


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


async def test_failed_render_is_billed_unknown(start: Starting) -> None:
    rest = await start(faults=["failedInData:problem"])
    await rest.ended(await rest.buy("Problem"))
    await rest.ended(await rest.buy("Hook"))
    problem, hook = rest.server.ledger.entries
    assert (problem.outcome, problem.billed) == ("failedInData", None)
    assert (hook.outcome, hook.billed) == ("success", 0.05)


async def test_most_tasks_in_flight_is_known(start: Starting) -> None:
    clock = Clock()
    rest = await start(clock=clock, render_seconds=10)
    for wait in (0, 5, 5, 1):
        clock.now += wait
        await rest.buy()
    assert rest.server.ledger.most_in_flight() == 3


async def test_task_outlives_a_restart(file: Path) -> None:
    clock = Clock()
    async with running(ledger_file=file, clock=clock) as rest:
        ended, open_still = await rest.buy(seed=5), await rest.buy("Cta")
        clock.now += 0.2
        url = (await rest.ended(ended))["videoURL"]
        content = (await rest.http.get(url)).content
    async with running(ledger_file=file, clock=clock, port=rest.server.port) as rest:
        assert (await rest.http.get(url)).content == content
        assert (await rest.ended(open_still))["status"] == "success"
        assert (await rest.post([ended])).json()["errors"][0]["code"] == "conflictTaskUUID"
        assert [entry.submits for entry in rest.server.ledger.entries] == [2, 1]
        assert rest.server.ledger.billed == 0.1


async def test_task_that_never_ends_does_not_after_a_restart(file: Path) -> None:
    clock = Clock()
    async with running(ledger_file=file, clock=clock, faults=["neverEnds"]) as rest:
        task = await rest.buy()
        clock.now += 99
        assert (await rest.post(poll(task))).json()["data"][0]["status"] == "processing"
    async with running(ledger_file=file, clock=clock) as rest:
        assert (await rest.post(poll(task))).json()["data"][0]["status"] == "processing"


def cut_a_line(file: Path) -> None:
    with file.open("a") as lines:
        lines.write('{"event": "acce')


async def test_last_line_may_be_cut(file: Path) -> None:
    async with running(ledger_file=file) as rest:
        task = await rest.buy()
    cut_a_line(file)
    async with running(ledger_file=file) as rest:
        await rest.buy()
        assert len(rest.server.ledger.entries) == 2
    async with running(ledger_file=file) as rest:
        assert rest.server.ledger.find(task["taskUUID"].upper()) is not None
        assert len(rest.server.ledger.entries) == 2


def without_clip(event: dict[str, Any]) -> None:
    """Make an event that of a version without clips in the ledger."""
    event.pop("output", None)


def with_clip(event: dict[str, Any]) -> None:
    """Make an event that of a version in which every task ordered a clip."""
    if output := event.pop("output", None):
        del output["kind"]
        event["clip"] = output


def rewrite(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    events = [json.loads(line) for line in file.read_text().splitlines()]
    for event in events:
        change(event)
    file.write_text("".join(json.dumps(event) + "\n" for event in events))


@pytest.mark.parametrize("change", [without_clip, with_clip])
async def test_ledger_of_an_earlier_version_is_continued(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    async with running(ledger_file=file) as rest:
        task = await rest.buy()
        content = (await rest.http.get((await rest.ended(task))["videoURL"])).content
    rewrite(file, change)
    async with running(ledger_file=file) as rest:
        [entry] = rest.server.ledger.entries
        assert (entry.output.kind, entry.scenario) == ("clip", "hook")
        assert (await rest.http.get((await rest.ended(task))["videoURL"])).content == content


async def test_voices_music_and_stills_outlive_a_restart(file: Path) -> None:
    tasks = [speak(), play(), draw(inputs={"referenceImages": [data_uri(picture(RED))]})]
    async with running(ledger_file=file, facts=new_facts()) as rest:
        contents = [await rest.made(task) for task in tasks]
        outputs = [entry.output for entry in rest.server.ledger.entries]
    async with running(ledger_file=file, facts=new_facts()) as rest:
        assert [entry.output for entry in rest.server.ledger.entries] == outputs
        urls = [url_of(await rest.ended(task)) for task in tasks]
        assert [(await rest.http.get(url)).content for url in urls] == contents
        assert [entry.scenario for entry in rest.server.ledger.entries] == ["voice", "music", "still-hook"]
    assert [task["output"]["kind"] for task in Ledger.read(file).report()["tasks"]] == ["voice", "music", "still"]


async def test_refused_submits_are_counted_too(start: Starting) -> None:
    rest = await start(faults=["serverErrorx2"])
    task = submit()
    for _ in range(3):
        await rest.post([task])
    [entry] = rest.server.ledger.entries
    assert entry.submits == 3
    assert rest.server.struck == ["serverError", "serverError"]


def test_server_runs_on_a_thread_of_its_own() -> None:
    with in_thread(render_seconds=0.1) as server:
        reply = httpx.post(server.rest_url, json=[{"taskType": "ping"}], headers={"Authorization": "Bearer k"})
        assert reply.json()["data"][0]["pong"] is True
        server.drop_connections(clean=True)
        address = server.rest_url
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_server_that_cannot_start_says_why() -> None:
    with (
        in_thread() as server,
        pytest.raises(OSError, match="address already in use"),
        in_thread(port=server.port),
    ):
        raise AssertionError("two servers on one port")


async def test_settings_are_kept_apart() -> None:
    async with LocalRunware() as first, LocalRunware() as second:
        assert first.url != second.url
