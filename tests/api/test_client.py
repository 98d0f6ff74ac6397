"""The clients: each operation of the HTTP API, against a real server."""

import asyncio
import inspect
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from adreel.client import ApiError, AsyncClient, Client
from adreel.client.operations import Operation, Operations
from adreel.client.steps import EVENTS_PATH
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Job
from adreel.records import Records
from tests.api.serving import KEY, KEYS, served
from tests.factories import NOW, make_session, make_take, save_job, session_data, store_take


def shape(route: str) -> str:
    return re.sub(r"{\w+}", "{}", route)


def test_every_operation_of_the_api_has_a_method(api: httpx.Client) -> None:
    paths: dict[str, dict[str, Any]] = api.get("/openapi.json").json()["paths"]
    offered = {shape(f"{method.upper()} {path}") for path, methods in paths.items() for method in methods}
    methods = [value for value in vars(Operations).values() if isinstance(value, Operation) and value.route]
    assert {shape(method.route) for method in methods} | {shape(f"GET {EVENTS_PATH}")} == offered


def test_both_clients_have_the_same_methods() -> None:
    assert set(dir(Client)) ^ set(dir(AsyncClient)) == {"__enter__", "__exit__", "__aenter__", "__aexit__"}
    with Client() as client:
        assert "idempotency_key" in inspect.signature(client.generate).parameters
        assert inspect.getdoc(client.generate) == inspect.cleandoc(str(Operations.generate.__doc__))


def test_the_client_imports_neither_prefect_nor_a_server() -> None:
    code = "import sys, adreel.client; sys.exit(', '.join({'prefect', 'av', 'fsspec', 'fastapi'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.PIPE, text=True)
    assert done.stderr.strip() == ""


@pytest.fixture
def client(records: Records, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
    with served() as http, Client(str(http.base_url), key=KEY) as client:
        yield client


@pytest.fixture
async def async_client(client: Client) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(str(client._http.base_url), key=KEY) as other:
        yield other


def test_sessions_are_stored_read_and_changed(client: Client, records: Records) -> None:
    made = client.create_session(make_session(seconds=1), idempotency_key="order-17")
    assert client.create_session(make_session(seconds=1), idempotency_key="order-17") == made
    assert client.session("ad") == made
    changed = client.change_scene("ad", "hook", visual_description="a moth", seed=7)
    assert records.session("ad").scene_descriptions == changed.scene_descriptions
    client.create_session(session_data(session_id="ad2"))
    page = client.sessions(limit=1)
    assert [session.session_id for session in page.sessions] == ["ad2"]
    rest = client.sessions(after=page.next)
    assert [session.session_id for session in rest.sessions] == ["ad"]
    assert client.sessions(limit=1, before=rest.previous) == page
    assert client.sessions(q="AD2", state="new", sort="-id").sessions == page.sessions


def test_campaigns_and_their_ads_are_read(client: Client, records: Records) -> None:
    for number, state in enumerate((AttemptState.FAILED, AttemptState.STORED)):
        records.save_session(make_session(session_id=f"ad{number}"), "spring")
        job = Job(job_id=f"job-{number}", session_id=f"ad{number}", scenarios=[Scenario.HOOK], created_at=NOW)
        save_job(records, job.model_copy(update={"campaign": "spring", "ended_at": NOW}))
        take = make_take(state, session_id=f"ad{number}", job_id=f"job-{number}", problem="no" if not number else None)
        records.save_take(take)
    [spring] = client.campaigns().campaigns
    assert spring.states == {State.FAILED: 1, State.COMPLETED: 1}
    page = client.campaign("spring", limit=1)
    assert (page.campaign, page.ads[0].session_id, page.ads[0].error) == (spring, "ad0", "no")
    assert [ad.session_id for ad in client.campaign("spring", after=page.next).ads] == ["ad1"]
    assert client.campaign("spring", state="completed").ads == client.campaign("spring").ads[1:]
    for wrong, status in ((lambda: client.campaign("summer"), 404), (lambda: client.campaigns(after="no"), 422)):
        with pytest.raises(ApiError) as caught:
            wrong()
        assert caught.value.status == status


def test_spend_is_read_by_group_and_period(client: Client, records: Records) -> None:
    records.save_take(make_take(cost=0.5))
    report = client.spend("model", since=NOW.date())
    assert [(row.name, row.takes, row.billed) for row in report.rows] == [("bytedance:2@2", 1, 0.5)]
    assert client.spend(until=NOW.date() - timedelta(days=1)).rows == []
    with pytest.raises(ApiError) as caught:
        client.spend(since=NOW.date(), until=NOW.date() - timedelta(days=1))
    assert (caught.value.status, "exchange them" in str(caught.value)) == (422, True)


async def test_takes_are_compared_chosen_and_downloaded(
    async_client: AsyncClient, records: Records, tmp_path: Path
) -> None:
    records.save_session(make_session())
    old = store_take(records, make_take(job_id="old"), tmp_path)
    store_take(records, make_take(job_id="new", minute=1), tmp_path)
    takes = (await async_client.takes("ad", "hook")).takes
    assert [(take.job_id, take.is_current) for take in takes] == [("old", False), ("new", True)]
    chosen = await async_client.choose_take("ad", "hook", old.short_id)
    assert records.choices("ad").takes == {"hook": "old"}
    assert chosen.video_url
    file = await async_client.download(chosen.video_url, tmp_path / "clip.mp4")
    assert file.read_bytes() == f"the clip of {old.attempts[-1].uuid}".encode()
    with pytest.raises(ApiError, match="404"):
        await async_client.download("/outputs/ad_hook_00000000.mp4", tmp_path / "gone.mp4")
    assert {path.name for path in tmp_path.glob("*.mp4")} == {"clip.mp4"}


def test_a_download_works_for_both(client: Client, records: Records, tmp_path: Path) -> None:
    take = store_take(records, make_take(), tmp_path)
    assert take.clip
    assert client.download(take.clip.file, tmp_path / "clip.mp4").stat().st_size == take.clip.size


def test_probes_answer_at_once(client: Client) -> None:
    client.check_health()
    assert "adreel_" in client.metrics()
    with pytest.raises(ApiError) as caught:
        client.check_readiness()
    assert caught.value.status == 503


class FlakyServer(BaseHTTPRequestHandler):
    """Closes the connection, then is busy, then answers; as a proxy does whose server restarts."""

    keys: ClassVar[list[str]]

    def do_POST(self) -> None:
        self.keys.append(self.headers["Idempotency-Key"])
        if len(self.keys) == 1:
            self.close_connection = True
            return
        body = b'{"success": true, "message": "started", "job_id": "job-1"}'
        self.send_response(503 if len(self.keys) == 2 else 202)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_lost_answer_is_asked_for_again_under_the_same_key(kind: str) -> None:
    class Handler(FlakyServer):
        keys: ClassVar[list[str]] = []

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"

        async def generate() -> str:
            async with AsyncClient(url) as client:
                return (await client.generate("ad")).job_id

        if kind == "sync":
            with Client(url) as client:
                assert client.generate("ad").job_id == "job-1"
        else:
            assert asyncio.run(generate()) == "job-1"
        server.shutdown()
    assert len(Handler.keys) == 3
    assert len(set(Handler.keys)) == 1


def test_jobs_are_started_cancelled_and_resumed(prefect: str, runware: object, records: Records) -> None:
    from prefect.client.orchestration import get_client

    from adreel.flows.generate_ad import generate_ad
    from adreel.flows.resume import resume
    from adreel.purchase.jobs import start_job
    from adreel.settings import Settings

    with get_client(sync_client=True) as server:
        for flow in (generate_ad, resume):
            server.create_deployment(server.create_flow(flow), flow.name)
    records.save_session(make_session(seconds=1))
    with served(prefect=prefect) as http, Client(str(http.base_url)) as client:
        job_id = client.generate("ad", [Scenario.HOOK]).job_id
        start_job(records, Settings.load(), job_id, "ad", scenarios=[Scenario.HOOK])
        assert client.status(job_id).scenes[0].scenario == Scenario.HOOK
        with pytest.raises(TimeoutError, match=job_id):
            client.wait(job_id, timeout=0.2, every=0.1)
        assert client.cancel(job_id).success
        assert client.wait(job_id, timeout=60).overall_status == State.CANCELLED
        assert client.resume(job_id, idempotency_key="r").job_id == client.resume(job_id, idempotency_key="r").job_id


def test_a_refusal_has_its_problem(client: Client) -> None:
    with pytest.raises(ApiError, match=r"no job 'nobody'.*HTTP 404") as caught:
        client.status("nobody")
    assert (caught.value.status, caught.value.problem["status"]) == (404, 404)
    with Client(str(client._http.base_url), key="wrong") as stranger, pytest.raises(ApiError) as caught:
        stranger.sessions()
    assert caught.value.status == 401
