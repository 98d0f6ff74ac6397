"""REST: replies to submits, polls and detail requests, and their status."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.local_runware.client import Clock, Starting, new_uuid, poll, submit


async def test_task_runs_and_ends_with_url_cost_and_seed(start: Starting) -> None:
    clock = Clock()
    rest = await start(render_seconds=10, clock=clock, price=0.1)
    task = await rest.buy(seed=7)
    clock.now += 4
    [running] = (await rest.post(poll(task))).json()["data"]
    assert running == {
        "taskType": "videoInference",
        "taskUUID": task["taskUUID"],
        "status": "processing",
        "progress": 40,
    }
    clock.now += 7
    [done] = (await rest.post(poll(task))).json()["data"]
    assert (done["status"], done["cost"], done["seed"]) == ("success", 0.1, 7)
    assert done["videoURL"].startswith(rest.server.rest_url.removesuffix("v1") + "clips/")


async def test_progress_can_be_left_out(start: Starting) -> None:
    rest = await start(render_seconds=10, clock=Clock(), progress=False)
    [running] = (await rest.post(poll(await rest.buy()))).json()["data"]
    assert "progress" not in running


async def test_cost_is_told_only_when_asked_for(start: Starting) -> None:
    rest = await start()
    assert "cost" not in await rest.ended(await rest.buy(includeCost=False))


async def test_unknown_uuid_is_no_error(start: Starting) -> None:
    rest = await start()
    response = await rest.post(poll(new_uuid()))
    assert (response.status_code, response.json()) == (200, {"data": []})


async def test_second_submit_conflicts_and_is_not_billed(start: Starting) -> None:
    rest = await start()
    task = await rest.buy()
    response = await rest.post([task])
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "conflictTaskUUID")
    assert response.json()["errors"][0]["taskUUID"] == task["taskUUID"]
    await rest.ended(task)
    assert rest.server.ledger.billed == 0.05


async def test_several_tasks_travel_in_one_array(start: Starting) -> None:
    rest = await start()
    good, bad, other = submit(), submit(duration=-1), submit("Cta")
    response = await rest.post([good, bad, other])
    assert response.status_code == 200
    assert [item["taskUUID"] for item in response.json()["data"]] == [good["taskUUID"], other["taskUUID"]]
    assert [item["taskUUID"] for item in response.json()["errors"]] == [bad["taskUUID"]]
    polled = (await rest.post(poll(other, new_uuid(), good))).json()["data"]
    assert [item["taskUUID"] for item in polled] == [other["taskUUID"], good["taskUUID"]]


async def test_details_hold_the_request_and_the_last_response(start: Starting) -> None:
    rest = await start()
    task = await rest.buy()
    await rest.ended(task)
    [item] = (await rest.post([{"taskType": "getTaskDetails", "taskUUID": task["taskUUID"]}])).json()["data"]
    assert item["request"] == [task]
    assert item["response"]["data"][0]["status"] == "success"


async def test_dry_run_prices_and_does_nothing_else(start: Starting) -> None:
    rest = await start()
    response = await rest.post([submit(duration=4)], **{"X-Runware-Dry-Run": "1"})
    assert response.json()["data"][0]["cost"] == 0.2
    refused = await rest.post([submit(duration=0)], **{"X-Runware-Dry-Run": "1"})
    assert refused.json()["errors"][0]["parameter"] == "duration"
    assert rest.server.ledger.entries == []


REFUSALS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "no uuid": ({"taskUUID": None}, "missingTaskUUID", "taskUUID"),
    "uuid of version 1": ({"taskUUID": "c3e8a1e4-7d3c-11ee-b962-0242ac120002"}, "invalidTaskUUID", "taskUUID"),
    "uuid of a list": ({"taskUUID": []}, "invalidTaskUUID", "taskUUID"),
    "no prompt": ({"positivePrompt": None}, "missingPositivePrompt", "positivePrompt"),
    "empty prompt": ({"positivePrompt": ""}, "missingPositivePrompt", "positivePrompt"),
    "blank prompt": ({"positivePrompt": "  "}, "invalidPositivePrompt", "positivePrompt"),
    "no model": ({"model": None}, "missingModel", "model"),
    "model without version": ({"model": "kling"}, "invalidModel", "model"),
    "length in words": ({"duration": "five"}, "invalidDuration", "duration"),
    "size of words": ({"width": "wide"}, "invalidWidth", "width"),
    "half a size": ({"height": None}, "missingHeight", "height"),
    "sync": ({"deliveryMethod": "sync"}, "unsupportedDeliveryMethod", "deliveryMethod"),
    "two results": ({"numberResults": 2}, "unsupportedNumberResults", "numberResults"),
    "frame rate": ({"fps": 0}, "invalidFps", "fps"),
}


@pytest.mark.parametrize(("changes", "code", "parameter"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_refusal_names_the_parameter_and_costs_nothing(
    start: Starting, changes: dict[str, Any], code: str, parameter: str
) -> None:
    rest = await start()
    response = await rest.post([submit(**changes)])
    [error] = response.json()["errors"]
    assert (response.status_code, error["code"], error["parameter"]) == (400, code, parameter)
    assert rest.server.ledger.entries == []


async def test_model_refuses_what_it_does_not_render(start: Starting) -> None:
    rest = await start()
    kling = {"model": "klingai:6@1", "width": 1280, "height": 720}
    [error] = (await rest.post([submit(**kling, duration=7)])).json()["errors"]
    assert (error["code"], error["allowedValues"]) == ("unsupportedDuration", [5, 10])
    [error] = (await rest.post([submit(**{**kling, "width": 1284}, duration=5)])).json()["errors"]
    assert error["parameter"] == ["width", "height"]
    assert "1280x720" in error["allowedValues"]


@pytest.mark.parametrize(
    ("header", "code"),
    [("", "missingApiKey"), ("Bearer", "missingApiKey"), ("Basic b", "missingApiKey"), ("Bearer b", "invalidApiKey")],
)
async def test_key_is_needed(start: Starting, header: str, code: str) -> None:
    rest = await start(keys=frozenset({"a"}))
    response = await rest.post(poll(new_uuid()), Authorization=header)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (401, code)
    assert "taskUUID" not in response.json()["errors"][0]


@pytest.mark.parametrize("body", ["{", "{}", "[1]", '[{"taskType": "tea"}]', "null"])
async def test_nonsense_is_refused(start: Starting, body: str) -> None:
    rest = await start()
    response = await rest.http.post(rest.server.rest_url, content=body, headers={"Authorization": "Bearer k"})
    assert response.status_code == 400
    assert response.json()["errors"]


async def test_ledger_is_served_as_json(start: Starting, tmp_path: Path) -> None:
    rest = await start(ledger_file=tmp_path / "ledger.jsonl")
    task = await rest.buy("Solution")
    await rest.ended(task)
    report = (await rest.http.get(rest.server.rest_url.replace("/v1", "/ledger"))).json()
    [entry] = report["tasks"]
    assert (entry["uuid"], entry["scenario"], entry["outcome"]) == (task["taskUUID"], "solution", "success")
    assert report["most_in_flight"] == 1
    assert report == json.loads(json.dumps(rest.server.ledger.report()))
