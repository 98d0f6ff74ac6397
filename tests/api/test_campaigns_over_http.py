"""Campaigns that are started and continued over HTTP. The test is their worker."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow

from adreel.client import Client
from adreel.emulator import LocalRunware
from adreel.flows.generate_campaign import generate_campaign
from adreel.models.spend import to_micros
from adreel.records import Records
from adreel.records.verification import verify
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from adreel.storage import Storage
from tests.api.serving import served
from tests.factories import make_session, scene_data
from tests.storyboard.conftest import Orders, visiting

SPRING: dict[str, Any] = {
    "name": "spring",
    "products": [{"session_id": "lamp", "product_name": "Lamp"}, {"session_id": "fan", "product_name": "Fan"}],
    "variants": [{"variant": "day", "scene_descriptions": [scene_data("hook", duration=1)]}],
}


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Records:
    monkeypatch.setenv("ADREEL_STORAGE", str(tmp_path / "outputs"))
    return Records(Storage(str(tmp_path / "outputs")))


@pytest.fixture
def api(prefect: str, runware: LocalRunware, records: Records) -> Iterator[httpx.Client]:
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(generate_campaign), generate_campaign.name)
    with served(prefect=prefect) as api:
        yield api


def post(api: httpx.Client, path: str, body: Any = None, key: str = "") -> Any:
    answer = api.post(path, json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == 202, answer.text
    return answer.json()


def work(run_id: str) -> None:
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(run_id))
    run_flow(generate_campaign, flow_run=run, parameters=run.parameters, return_type="state")


def test_a_campaign_is_bought_once_however_often_it_is_started(
    api: httpx.Client, records: Records, runware: LocalRunware
) -> None:
    started = post(api, "/api/campaigns", SPRING, "order-1")
    assert (started["name"], started["ads"]) == ("spring", 2)
    assert post(api, "/api/campaigns", SPRING, "order-1") == started
    assert api.post("/api/campaigns", json=SPRING).status_code == 409, "it is running"
    assert api.post("/api/campaigns/spring/resume").status_code == 409
    work(started["job_id"])
    assert len(runware.ledger.entries) == 2
    with Client(str(api.base_url)) as client:
        found = client.campaign("spring")
        assert [(ad.session_id, ad.variant, ad.state) for ad in found.ads] == [
            ("fan-day", "day", "completed"),
            ("lamp-day", "day", "completed"),
        ]
        repeated = client.start_campaign("spring", SPRING["products"], SPRING["variants"])
        work(repeated.job_id)
        resumed = client.resume_campaign("spring")
        work(resumed.job_id)
        assert len({started["job_id"], repeated.job_id, resumed.job_id}) == 3
    assert len(runware.ledger.entries) == 2
    assert verify(records) == []


def changed(**values: Any) -> dict[str, Any]:
    return {**deepcopy(SPRING), **values}


WRONG = [{"variant": "day", "scene_descriptions": [scene_data("hook", duration="soon")]}]
UNNAMED = [{"session_id": "lamp"}]
REFUSALS: list[tuple[dict[str, Any], int, str, str]] = [
    (changed(name="a b"), 422, "name", "should match pattern"),
    (changed(products=[]), 422, "products", "at least 1 item"),
    (changed(products=UNNAMED), 422, "products.0.product_name", "Field required"),
    (changed(variants=WRONG), 422, "variants.0.hook.duration", "valid number"),
    (changed(variants=[{"variant": "day"}]), 422, "products.0.scene_descriptions", "at least 1 item"),
    (changed(products=[SPRING["products"][0]] * 2), 422, "", "appears twice"),
    (changed(products=[{**SPRING["products"][0], "first_frame": "/etc/passwd"}]), 422, "", "https"),
    (changed(products=[{"session_id": "taken", "product_name": "Other"}]), 409, "", "taken-day"),
    (changed(name="old"), 409, "name", "choose another name"),
    (changed(max_cost=0.01), 402, "", "would cost"),
    (changed(name="poor"), 402, "", "the first ad needs"),
]


@pytest.mark.parametrize(("body", "status", "field", "reason"), REFUSALS, ids=[each[3] for each in REFUSALS])
def test_a_refused_campaign_writes_and_starts_nothing(
    refusing: tuple[httpx.Client, Orders, Records], body: dict[str, Any], status: int, field: str, reason: str
) -> None:
    client, orders, records = refusing
    before = records.storage.files("")
    answer = client.post("/api/campaigns", json=body)
    problem = answer.json()
    assert answer.status_code == status, problem
    assert reason in str(problem)
    assert not field or field in [each["field"] for each in problem["errors"]]
    assert records.storage.files("") == before
    assert not orders.runs


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Orders, Records]]:
    """Serve a storage with the session of another ad, another campaign, and a budget that pays nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADREEL_STORAGE", str(tmp_path_factory.mktemp("refusing")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RUNWARE_API_KEY", "a-key-of-nobody")
        orders = Orders()
        with visiting(orders) as client:
            records = Records(Storage.from_settings(Settings.load()))
            records.save_session(make_session(session_id="taken-day"))
            Budgets(records).set("campaign:poor", to_micros(0.01))
            assert client.post("/api/campaigns", json=changed(name="old", products=SPRING["products"][:1])).is_success
            orders.runs.clear()
            yield client, orders, records
