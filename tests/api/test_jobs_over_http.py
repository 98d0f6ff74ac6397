"""Jobs over HTTP on a real Prefect server: started once, followed, taken up, cancelled. The test is their worker."""

import hashlib
import logging
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Crashed, Running

from adreel.client import ApiError, AsyncClient, Client
from adreel.emulator import LocalRunware
from adreel.flows.generate_ad import generate_ad
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.flows.resume import resume
from adreel.models.api import State
from adreel.models.runners import Runner
from adreel.models.scenarios import Scenario
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from tests.api import raw
from tests.api.serving import served
from tests.factories import make_session

FLOWS: dict[str, Flow[..., Any]] = {flow.name: flow for flow in (generate_ad, regenerate_scene, resume)}
GENERATE, REGENERATE = "/api/videos/generate-scenes", "/api/videos/regenerate-scene"


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Records:
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    records = Records(Storage(str(tmp_path / "outputs")))
    records.save_session(make_session(seconds=1))
    return records


@pytest.fixture(scope="module")
def deployed(prefect_server: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:
        for name, flow in FLOWS.items():
            client.create_deployment(client.create_flow(flow), name)


@pytest.fixture
def api(prefect: str, deployed: None, runware: LocalRunware, records: Records) -> Iterator[httpx.Client]:
    with served(prefect=prefect) as api:
        yield api


def work(job_id: str) -> None:
    """Carry a run out, as a worker would."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(job_id))
        flow = FLOWS[client.read_flow(run.flow_id).name]
    run_flow(flow, flow_run=run, parameters=run.parameters, return_type="state")


def started(api: httpx.Client, path: str, body: dict[str, Any], key: str | None = None) -> str:
    answer = api.post(path, json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def status(api: httpx.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/api/videos/status/{job_id}").raise_for_status().json()
    return found


def test_a_started_job_is_generating_until_its_run_has_ended_and_needs_no_prefect_then(
    api: httpx.Client, runware: LocalRunware
) -> None:
    answer = api.post(GENERATE, json={"session_id": "ad"})
    job_id = answer.json()["job_id"]
    assert answer.json() == {"success": True, "message": "Video generation started for 4 scenes", "job_id": job_id}
    waiting = {"status": "generating", "progress": 0, "video_url": None, "error": None, "warnings": []}
    scenes = [{"scenario": str(scenario), **waiting} for scenario in Scenario]
    assert status(api, job_id) == {"job_id": job_id, "overall_status": "generating", "scenes": scenes, "cut": None}

    work(job_id)
    with served() as without_prefect:
        found = status(without_prefect, job_id)
        assert without_prefect.get(found["scenes"][0]["video_url"]).content[4:8] == b"ftyp"
    assert found["overall_status"] == "completed"
    assert {scene["progress"] for scene in found["scenes"]} == {100}


def test_the_same_key_and_body_start_one_job_on_any_server(api: httpx.Client, prefect: str, records: Records) -> None:
    first = api.post(GENERATE, json={"session_id": "ad"}, headers={"Idempotency-Key": "k1"})
    records.save_session(make_session(scene_descriptions=make_session().scene_descriptions[:1]))
    assert api.post(GENERATE, json={"session_id": "ad"}).status_code == 422
    with served(prefect=prefect) as another:
        again = another.post(GENERATE, json={"session_id": "ad"}, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert started(api, GENERATE, {"session_id": "ad", "scenarios": ["hook"]}, "k2") != first.json()["job_id"]


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        (GENERATE, {}, {"scenarios": ["hook"]}),
        (REGENERATE, {"scenario": "hook", "seed": 1}, {"scenario": "hook", "seed": 2}),
        (REGENERATE, {"scenario": "hook"}, {"scenario": "cta"}),
    ],
    ids=["other scenes", "other changes", "another scene"],
)
def test_the_same_key_with_another_body_is_refused(
    api: httpx.Client, path: str, first: dict[str, Any], second: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    started(api, path, {"session_id": "ad", **first}, request.node.name)
    refused = api.post(path, json={"session_id": "ad", **second}, headers={"Idempotency-Key": request.node.name})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize("path", [GENERATE, REGENERATE, "/api/sessions"])
@pytest.mark.parametrize("framing", ["Content-Length: 999", "Transfer-Encoding: chunked"])
def test_a_body_that_was_cut_off_buys_nothing_and_takes_no_key(
    api: httpx.Client, runware: LocalRunware, caplog: pytest.LogCaptureFixture, path: str, framing: str
) -> None:
    """The received part is valid JSON by itself."""
    body = b'{"session_id": "ad", "scenario": "hook"}'
    sent = b"%x\r\n%s\r\n" % (len(body), body) if "chunked" in framing else body
    key = f"cut-{path}-{framing}"
    headers = ("Content-Type: application/json", f"Idempotency-Key: {key}", framing)
    with caplog.at_level(logging.INFO, "adreel.api"), raw.connect(api) as connection:
        connection.sendall(raw.request("POST", path, sent, *headers))
        api.get("/healthz")
        connection.shutdown(socket.SHUT_WR)
        raw.answers(connection)
        raw.until(lambda: any(f"POST {path} " in line for line in caplog.messages), "the request was not noticed")
    assert any(f"POST {path} 400" in line for line in caplog.messages)
    with get_client(sync_client=True) as client:
        keyed = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[scoped(path, key)]))
        assert client.read_flow_runs(flow_run_filter=keyed) == []
    assert runware.ledger.entries == []


def scoped(path: str, key: str) -> str:
    return "api-" + hashlib.sha256("\n".join(("local", path, key)).encode()).hexdigest()


def test_many_at_once_under_one_key_start_one_job(api: httpx.Client) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(api.post(GENERATE, json={"session_id": "ad"}, headers={"Idempotency-Key": "many"}))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 409)
    assert len({answer.json()["job_id"] for answer in answers if answer.status_code == 202}) == 1
    assert started(api, GENERATE, {"session_id": "ad"}, "many") in {answer.json().get("job_id") for answer in answers}


def test_without_a_key_each_call_starts_a_job(api: httpx.Client) -> None:
    assert started(api, GENERATE, {"session_id": "ad"}) != started(api, GENERATE, {"session_id": "ad"})


def test_a_watcher_hears_each_change_once_and_the_end(api: httpx.Client, runware: LocalRunware) -> None:
    job_id = started(api, GENERATE, {"session_id": "ad", "scenarios": ["hook"]})
    worker = threading.Thread(target=work, args=(job_id,))
    with Client(str(api.base_url)) as client:
        watching = client.watch(job_id)
        seen = [next(watching)]
        worker.start()
        seen += watching
        assert seen[-1] == client.status(job_id)
    worker.join()
    progress = [each.scenes[0].progress for each in seen]
    assert progress == sorted(progress)
    assert [each.overall_status for each in seen] == [*["generating"] * (len(seen) - 1), "completed"]
    assert all(one != another for one, another in pairwise(seen))

    lines = api.get(f"/api/videos/events/{job_id}").text.splitlines()
    assert [line for line in lines if line.startswith("event: ")] == ["event: status", "event: end"]
    last = next(line.removeprefix("id: ") for line in lines if line.startswith("id: "))
    with served() as another:
        assert another.get(f"/api/videos/events/{job_id}", headers={"Last-Event-ID": last}).status_code == 204
        missed = another.get(f"/api/videos/events/{job_id}", headers={"Last-Event-ID": "an-earlier-one"})
    assert missed.text.count("event: status") == 1


async def test_a_regenerated_scene_is_waited_for(api: httpx.Client, runware: LocalRunware, records: Records) -> None:
    job_id = started(api, REGENERATE, {"session_id": "ad", "scenario": "hook", "camera_work": "slow"}, "r1")
    worker = threading.Thread(target=work, args=(job_id,))
    worker.start()
    async with AsyncClient(str(api.base_url)) as client:
        options: dict[str, Any] = {"wait": True, "idempotency_key": "r1", "camera_work": "slow"}
        answer = await client.regenerate("ad", "hook", **options)
    worker.join()
    [take] = records.takes("ad", Scenario.HOOK)
    assert take.clip
    assert take.scene
    assert (answer.job_id, answer.success, answer.video_url) == (job_id, True, f"/outputs/{take.clip.file}")
    assert (take.scene.camera_work, records.session("ad").scene(Scenario.HOOK).camera_work) == ("slow", "")


def test_a_scene_that_fails_is_told_in_words_to_who_waits(api: httpx.Client, runware: LocalRunware) -> None:
    runware.inject("contentPolicy:hook")
    job_id = started(api, REGENERATE, {"session_id": "ad", "scenario": "hook"}, "r2")
    work(job_id)
    with Client(str(api.base_url)) as client:
        answer = client.regenerate("ad", "hook", wait=True, idempotency_key="r2")
    assert (answer.success, answer.video_url) == (False, None)
    assert "hook" in answer.message


def test_waiting_ends_at_its_deadline(api: httpx.Client) -> None:
    body = {"session_id": "ad", "scenario": "hook"}
    answer = api.post(REGENERATE, params={"wait": True, "wait_seconds": 0.1}, json=body)
    assert answer.status_code == 202
    assert answer.json()["video_url"] is None


def test_a_resume_is_followed_under_its_own_id(api: httpx.Client, runware: LocalRunware, records: Records) -> None:
    runware.inject("insufficientCredits:ctax1")
    job_id = started(api, GENERATE, {"session_id": "ad"})
    work(job_id)
    # Scenes that were not sent before the refusal are open too.
    assert status(api, job_id)["overall_status"] in {"partial", "failed"}

    resumed = started(api, f"/api/videos/resume/{job_id}", {})
    before = status(api, resumed)
    assert (before["job_id"], before["overall_status"]) == (resumed, "generating")
    *others, last = [scene["status"] for scene in before["scenes"]]
    assert last == "generating"
    assert set(others) <= {"completed", "generating"}
    work(resumed)
    assert status(api, resumed)["overall_status"] == "completed"
    assert status(api, job_id)["overall_status"] == "completed"
    assert len(runware.ledger.entries) == 4
    nothing_left = api.post(f"/api/videos/resume/{job_id}")
    assert (nothing_left.status_code, nothing_left.json()["type"]) == (409, "urn:adreel:problem:nothingOpen")


def test_a_job_that_has_not_begun_is_cancelled_for_good(api: httpx.Client) -> None:
    job_id = started(api, GENERATE, {"session_id": "ad", "scenarios": ["hook"]})
    assert api.post(f"/api/videos/cancel/{job_id}").status_code == 202
    found = status(api, job_id)
    assert (found["overall_status"], len(found["scenes"])) == ("cancelled", 1)
    assert "Cancelled" in found["scenes"][0]["error"]
    assert api.post(f"/api/videos/cancel/{job_id}").status_code == 409


def test_a_job_that_runs_is_told_to_end_and_looks_busy_no_longer(api: httpx.Client, records: Records) -> None:
    job_id = started(api, GENERATE, {"session_id": "ad", "scenarios": ["hook"]})
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(job_id), Running(), force=True)
    start_job(records, Settings(), job_id, "ad", scenarios=[Scenario.HOOK])
    assert status(api, job_id)["overall_status"] == "generating"
    assert api.post(f"/api/videos/cancel/{job_id}").status_code == 202
    found = status(api, job_id)
    assert found["overall_status"] == "cancelled"
    assert "resume" in found["scenes"][0]["error"]
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(UUID(job_id)).state_name in {"Cancelling", "Cancelled"}


def run_at_work(state: Any, flow: Flow[..., Any] = resume, **parameters: Any) -> str:
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(flow, parameters=parameters)
        client.set_flow_run_state(run.id, state, force=True)
    return str(run.id)


def state_of(run_id: str) -> str | None:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(UUID(run_id)).state_name


def ad_of(records: Records, run_id: str, job_id: str = "ad-of-a-run") -> str:
    start_job(records, Settings(), job_id, "ad", scenarios=[Scenario.HOOK], runner=Runner.here(run_id))
    return job_id


@pytest.mark.parametrize("parameters", [{"target": "all"}, {"target": "ad"}], ids=["all", "a session"])
def test_an_ad_is_cancelled_alone_if_its_run_works_on_others(
    api: httpx.Client, records: Records, parameters: dict[str, Any]
) -> None:
    run_id = run_at_work(Running(), **parameters)
    job_id, other = ad_of(records, run_id), ad_of(records, run_id, "another")
    answer = api.post(f"/api/videos/cancel/{job_id}")
    assert (answer.status_code, "continues with others" in answer.json()["message"]) == (202, True)
    assert state_of(run_id) == "Running"
    assert [status(api, each)["overall_status"] for each in (job_id, other)] == ["cancelled", "generating"]
    again = api.post(f"/api/videos/cancel/{job_id}")
    assert (again.status_code, again.json()["type"]) == (409, "urn:adreel:problem:ended")


def test_a_resume_of_one_job_is_cancelled_by_the_job_s_id(api: httpx.Client, records: Records) -> None:
    run_id = run_at_work(Running(), target="ad-of-a-run")
    job_id = ad_of(records, run_id)
    assert api.post(f"/api/videos/cancel/{job_id}").status_code == 202
    assert state_of(run_id) in {"Cancelling", "Cancelled"}
    assert status(api, job_id)["overall_status"] == "cancelled"


def test_a_resume_of_all_is_cancelled_by_its_own_id_with_all_its_jobs(api: httpx.Client, records: Records) -> None:
    run_id = run_at_work(Running(), target="all")
    mine, others = ad_of(records, run_id), ad_of(records, "another-run", "another")
    assert api.post(f"/api/videos/cancel/{run_id}").status_code == 202
    assert state_of(run_id) in {"Cancelling", "Cancelled"}
    assert [status(api, each)["overall_status"] for each in (mine, others)] == ["cancelled", "generating"]


@pytest.mark.parametrize("state", [Crashed(), Cancelled()], ids=lambda state: state.name)
def test_a_job_whose_run_is_over_is_ended_by_a_cancel(api: httpx.Client, records: Records, state: Any) -> None:
    job_id = ad_of(records, run_at_work(state, target="all"))
    own = ad_of(records, run_at_work(state, generate_ad, session_id="ad"), "own")
    for each in (job_id, own):
        assert status(api, each)["overall_status"] == "generating"
        assert api.post(f"/api/videos/cancel/{each}").status_code == 202
        assert status(api, each)["overall_status"] == "cancelled"


def test_a_job_of_another_server_is_ended_by_its_record(api: httpx.Client, records: Records) -> None:
    job_id = ad_of(records, "3097ff71-41eb-4f32-87bb-83b77b4d2311")
    assert api.post(f"/api/videos/cancel/{job_id}").status_code == 202
    job = records.job(job_id)
    assert job
    assert job.cancelled_at


def test_a_run_that_died_before_it_began_says_why(api: httpx.Client) -> None:
    job_id = started(api, GENERATE, {"session_id": "ad"})
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(job_id), Crashed(message="no memory"), force=True)
    found = status(api, job_id)
    assert found["overall_status"] == "failed"
    assert "no memory" in found["scenes"][0]["error"]


def test_a_run_that_left_nothing_in_this_storage_asks_for_the_worker_s(api: httpx.Client) -> None:
    job_id = started(api, GENERATE, {"session_id": "ad"})
    work(job_id)
    with served(prefect=runs_address(), ADREEL_STORAGE="./elsewhere") as other:
        assert "ADREEL_STORAGE" in status(other, job_id)["scenes"][0]["error"]


def runs_address() -> str:
    from prefect.settings import PREFECT_API_URL

    return str(PREFECT_API_URL.value())


def test_a_run_of_another_flow_is_no_job(api: httpx.Client) -> None:
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(resume, parameters={"target": "all"})
    assert api.get(f"/api/videos/status/{run.id}").status_code == 404


def test_what_could_not_be_bought_starts_no_run(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session(session_id="one", scene_descriptions=make_session().scene_descriptions[:1]))
    asked = [
        (GENERATE, {"session_id": "nobody"}, 404, "session_id"),
        (GENERATE, {"session_id": "one"}, 422, "scenarios"),
        (GENERATE, {"session_id": "one", "scenarios": ["cta"]}, 422, "scenarios"),
        (REGENERATE, {"session_id": "one", "scenario": "cta"}, 422, "scenario"),
        (REGENERATE, {"session_id": "one", "scenario": "hook", "model": "minimax:3@1"}, 422, "duration"),
        (REGENERATE, {"session_id": "one", "scenario": "hook", "first_frame": "/etc/hosts"}, 422, "first_frame"),
        (GENERATE, {"session_id": "one", "scenes": ["hook"]}, 422, "scenes"),
    ]
    before = number_of_runs()
    for path, body, code, field in asked:
        answer = api.post(path, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (code, field), answer.text
    assert number_of_runs() == before


def number_of_runs() -> int:
    with get_client(sync_client=True) as client:
        return int(client.request("POST", "/flow_runs/count", json={}).json())


def test_the_clients_say_what_was_refused(api: httpx.Client) -> None:
    with Client(str(api.base_url)) as client, pytest.raises(ApiError, match="no session 'nobody'") as caught:
        client.generate("nobody")
    assert (caught.value.status, caught.value.problem["errors"][0]["field"]) == (404, "session_id")


def test_waiting_for_a_job_ends_at_its_deadline(api: httpx.Client) -> None:
    job_id = started(api, GENERATE, {"session_id": "ad"})
    with Client(str(api.base_url)) as client:
        assert client.status(job_id).overall_status == State.GENERATING
        with pytest.raises(TimeoutError):
            client.wait(job_id, timeout=0.1, every=0.05)
