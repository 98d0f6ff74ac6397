"""Orders over HTTP under budgets: refused as a whole with 402, before anything is started. The test is their worker."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from adreel.client import ApiError, Client
from adreel.emulator import LocalRunware, in_thread
from adreel.errors import OverBudget
from adreel.flows.generate_ad import generate_ad
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.flows.resume import resume
from adreel.models.budget_modes import BudgetMode
from adreel.purchase.jobs import end_job, start_job
from adreel.records import Records
from adreel.settings import Settings
from adreel.spend.budgets import Budgets, BudgetView
from adreel.storage import Storage
from adreel.web.problems import BudgetProblemDetails, problem_of
from tests.api.serving import served
from tests.factories import make_session
from tests.storage.servers import S3Server
from tests.workers import free_port, running, until

FLOWS: dict[str, Flow[..., Any]] = {flow.name: flow for flow in (generate_ad, regenerate_scene, resume)}
GENERATE, REGENERATE = "/api/videos/generate-scenes", "/api/videos/regenerate-scene"
CLIP = 6290
"""Micro-dollars of one clip of the tests, estimated and billed."""
AD = 4 * CLIP

REFUSED = OverBudget(
    "the ad needs USD 1.40 and the budget day has USD 0.85 left",
    needed=1_400_000,
    left=850_000,
    budget="day",
    enough=5_550_000,
    commands=["adreel budget set day 5.55"],
)


def test_a_refusal_for_money_is_a_402_with_sums_in_usd() -> None:
    answer = problem_of(REFUSED).response("/api/videos/generate-scenes")
    assert answer.status_code == 402
    details = BudgetProblemDetails.model_validate(json.loads(bytes(answer.body)))
    assert (details.type, details.detail) == ("urn:adreel:problem:overBudget", str(REFUSED))
    assert (details.needed, details.left, details.budget, details.enough) == (1.4, 0.85, "day", 5.55)
    assert details.next == (
        "Raise the budget day to 5.55 USD or more, or wait for the next day (UTC), or order fewer scenes."
    )


def test_an_unknown_price_is_null_in_a_refusal() -> None:
    answer = problem_of(OverBudget("the price is unknown", budget="day")).response("/")
    assert json.loads(bytes(answer.body))["needed"] is None


def test_only_routes_that_buy_can_refuse_for_money(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    refusing = {
        path for path, calls in document["paths"].items() for call in calls.values() if "402" in call["responses"]
    }
    assert {path.removeprefix("/api/") for path in refusing} == {
        "videos/generate-scenes",
        "videos/regenerate-scene",
        "videos/resume/{job_id}",
        "campaigns",
        "campaigns/{name}/resume",
    }
    schema = document["components"]["schemas"]["BudgetProblemDetails"]
    assert {"needed", "left", "budget", "enough", "next"} <= set(schema["required"])


@pytest.fixture
def runware(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunware]:
    """Run an emulator that bills the prices of the catalogue."""
    with in_thread(render_seconds=0.1) as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        monkeypatch.setenv("RUNWARE_API_KEY", "")
        monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
        monkeypatch.setenv("ADREEL_SIZE", "128x72")
        yield server


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
def shop(prefect: str, deployed: None, runware: LocalRunware, records: Records) -> Iterator[httpx.Client]:
    with served(prefect=prefect) as client:
        # The first request builds all routes. FastAPI silences a warning meanwhile, which is not safe among threads.
        assert client.get("/api/nothing").status_code == 404
        yield client


def work(job_id: str) -> State[Any]:
    """Carry a run out, as a worker would."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(job_id))
        flow = FLOWS[client.read_flow(run.flow_id).name]
    state: Any = run_flow(flow, flow_run=run, parameters=run.parameters, return_type="state")
    assert isinstance(state, State)
    return state


def budget(records: Records) -> BudgetView:
    [view] = Budgets(records).views()
    return view


def test_an_ad_is_refused_whole_and_goes_through_once_the_cap_is_raised(shop: httpx.Client, records: Records) -> None:
    Budgets(records).set("all", AD - 1)
    answer = shop.post(GENERATE, json={"session_id": "ad"})
    details = BudgetProblemDetails.model_validate(answer.json())
    assert (answer.status_code, details.needed, details.left, details.budget) == (402, AD / 1e6, (AD - 1) / 1e6, "all")
    assert (details.enough, details.next) == (0.03, "Raise the budget all to 0.03 USD or more, or order fewer scenes.")
    assert details.detail.endswith("left of USD 0.025159: nothing was sent")
    assert (records.job_ids(), budget(records).held) == ([], 0)

    some = shop.post(GENERATE, json={"session_id": "ad", "scenarios": ["hook", "cta"]})
    assert (some.status_code, budget(records).held) == (202, 2 * CLIP)
    Budgets(records).set("all", 30_000)
    assert shop.post(REGENERATE, json={"session_id": "ad", "scenario": "hook"}).status_code == 202
    assert budget(records).held == 3 * CLIP


def test_a_run_takes_the_hold_of_its_request_over(shop: httpx.Client, records: Records, runware: LocalRunware) -> None:
    Budgets(records).set("all", AD)
    job_id = shop.post(GENERATE, json={"session_id": "ad"}).json()["job_id"]
    assert budget(records).left == 0
    assert work(job_id).is_completed()
    assert (budget(records).spent, budget(records).held, len(runware.ledger.entries)) == (AD, 0, 4)


def test_a_repeated_request_holds_its_money_once(shop: httpx.Client, records: Records, prefect: str) -> None:
    Budgets(records).set("all", AD)
    key = {"Idempotency-Key": "order-17"}
    with served(prefect=prefect) as another, ThreadPoolExecutor(8) as callers:
        servers = [shop, another] * 4
        answers = list(
            callers.map(lambda server: server.post(GENERATE, json={"session_id": "ad"}, headers=key), servers)
        )
    assert Counter(answer.status_code for answer in answers).keys() <= {202, 409}
    [job_id] = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
    assert budget(records).held == AD
    work(job_id)
    assert shop.post(GENERATE, json={"session_id": "ad"}, headers=key).json()["job_id"] == job_id
    assert (budget(records).spent, budget(records).held) == (AD, 0)


def test_a_job_spends_no_more_than_its_own_limit(shop: httpx.Client, records: Records) -> None:
    refused = shop.post(GENERATE, json={"session_id": "ad", "max_cost": 0.01})
    assert (refused.status_code, refused.json()["budget"]) == (402, "max_cost")
    assert refused.json()["enough"] == 0.03
    assert refused.json()["next"] == "Order again with a max_cost of 0.03 USD or more, or order fewer scenes."
    assert shop.post(GENERATE, json={"session_id": "ad", "max_cost": 0}).status_code == 422
    job_id = shop.post(GENERATE, json={"session_id": "ad", "max_cost": 0.03}).json()["job_id"]
    assert work(job_id).is_completed()
    job = records.job(job_id)
    assert job is not None
    assert job.max_cost == 30_000


def test_an_unknown_price_is_refused_under_a_cap_unless_it_is_given(
    shop: httpx.Client, records: Records, prefect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_CATALOG", "unchecked")
    records.save_session(make_session(seconds=1, model="nobody:1@1"))
    Budgets(records).set("all", AD)
    with served(prefect=prefect) as unchecked:
        refused = unchecked.post(GENERATE, json={"session_id": "ad"})
        assert (refused.status_code, refused.json()["needed"]) == (402, None)
        order = {"session_id": "ad", "scenario": "hook", "clip_price": 0.02}
        assert unchecked.post(REGENERATE, json=order).status_code == 202
    assert budget(records).held == 20_000


def test_a_budget_that_only_observes_refuses_nothing(shop: httpx.Client, records: Records) -> None:
    Budgets(records).set("all", 1, BudgetMode.OBSERVE)
    assert shop.post(GENERATE, json={"session_id": "ad"}).status_code == 202
    assert budget(records).over == AD - 1


def test_the_money_of_a_run_that_can_t_start_is_free_again(shop: httpx.Client, records: Records) -> None:
    Budgets(records).set("all", AD)
    job_id = shop.post(GENERATE, json={"session_id": "ad"}).json()["job_id"]
    records.storage.remove("sessions/ad/session.json")
    assert work(job_id).is_failed()
    assert budget(records).held == 0


def test_the_money_of_a_run_that_was_cancelled_before_its_start_is_free_again(
    shop: httpx.Client, records: Records
) -> None:
    Budgets(records).set("all", AD)
    job_id = shop.post(GENERATE, json={"session_id": "ad"}).json()["job_id"]
    assert budget(records).held == AD
    assert shop.post(f"/api/videos/cancel/{job_id}").status_code == 202
    assert budget(records).held == 0


def test_a_resume_counts_the_scenes_that_were_never_sent(
    shop: httpx.Client, records: Records, runware: LocalRunware
) -> None:
    end_job(records, start_job(records, Settings(), "job-1", "ad"))
    Budgets(records).set("all", AD - 1)
    refused = shop.post("/api/videos/resume/job-1")
    assert (refused.status_code, refused.json()["needed"]) == (402, AD / 1e6)
    Budgets(records).set("all", AD)
    refused = shop.post("/api/videos/resume/job-1", json={"max_cost": 0.01})
    assert (refused.status_code, refused.json()["budget"], refused.json()["enough"]) == (402, "max_cost", 0.03)
    run_id = shop.post("/api/videos/resume/job-1", json={"max_cost": 0.03}).json()["job_id"]
    assert (budget(records).held, budget(records).left) == (AD, 0)
    assert work(run_id).is_completed()
    assert (budget(records).spent, budget(records).held, len(runware.ledger.entries)) == (AD, 0, 4)
    job = records.job("job-1")
    assert job is not None
    assert job.max_cost == 30_000


@pytest.mark.usefixtures("runware")
def test_nothing_is_held_if_prefect_is_away(records: Records) -> None:
    Budgets(records).set("all", AD)
    with served() as alone:
        assert alone.post(GENERATE, json={"session_id": "ad"}).status_code == 503
    assert budget(records).held == 0


def order_ads(servers: list[httpx.Client], records: Records, count: int) -> tuple[list[str], list[ApiError]]:
    """Order ads at the same time; returns the started jobs and the refusals."""
    for number in range(count):
        records.save_session(make_session(session_id=f"ad-{number}", seconds=1))

    def order(number: int) -> str | ApiError:
        with Client(str(servers[number % len(servers)].base_url), timeout=120) as client:
            try:
                return client.generate(f"ad-{number}").job_id
            except ApiError as error:
                return error

    with ThreadPoolExecutor(count) as callers:
        answers = list(callers.map(order, range(count)))
    refusals = [answer for answer in answers if isinstance(answer, ApiError)]
    assert {refusal.status for refusal in refusals} <= {402}, refusals
    return [answer for answer in answers if isinstance(answer, str)], refusals


def check_whole_ads(records: Records, runware: LocalRunware, jobs: list[str]) -> None:
    """Carry the started jobs out, and check that exactly their ads were bought and accounted for."""
    assert budget(records).held == len(jobs) * AD
    assert all(work(job_id).is_completed() for job_id in jobs)
    assert len(runware.ledger.entries) == 4 * len(jobs)
    assert (budget(records).spent, budget(records).held) == (len(jobs) * AD, 0)


def test_parallel_orders_never_pass_a_cap(shop: httpx.Client, records: Records, runware: LocalRunware) -> None:
    Budgets(records).set("all", 2 * AD)
    jobs, refusals = order_ads([shop], records, 8)
    assert (len(jobs), len(refusals)) == (2, 6)
    check_whole_ads(records, runware, jobs)


@pytest.mark.slow
def test_a_hundred_parallel_orders_under_a_cap_for_37_ads(
    shop: httpx.Client, records: Records, runware: LocalRunware
) -> None:
    Budgets(records).set("all", 38 * AD - 1)
    jobs, refusals = order_ads([shop], records, 100)
    assert (len(jobs), len(refusals)) == (37, 63)
    check_whole_ads(records, runware, jobs)


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
def test_a_hundred_parallel_orders_at_two_servers_on_s3(
    prefect: str, runware: LocalRunware, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.bucket()
    monkeypatch.setenv("ADREEL_STORAGE", bucket)
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", json.dumps(s3.options))
    records = Records(Storage(bucket, s3.options))
    Budgets(records).set("all", 38 * AD - 1)
    port = free_port()
    log = Path("serve.log")
    with (
        served(prefect=prefect) as here,
        running(["adreel", "serve", "--port", str(port)], log),
        httpx.Client(base_url=f"http://localhost:{port}", timeout=60) as elsewhere,
    ):
        until(lambda: is_ready(elsewhere), "the other server")
        jobs, refusals = order_ads([here, elsewhere], records, 100)
    assert (len(jobs), len(refusals)) == (37, 63)
    check_whole_ads(records, runware, jobs)


def is_ready(server: httpx.Client) -> bool:
    with suppress(httpx.HTTPError):
        return server.get("/readyz").is_success
    return False
