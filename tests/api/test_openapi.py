"""The API keeps what its OpenAPI says: no 5xx and no undocumented answer, whatever is sent."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from prefect.client.orchestration import get_client
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from adreel.flows.generate_ad import generate_ad
from adreel.flows.generate_campaign import generate_campaign
from adreel.flows.regenerate_scene import regenerate_scene
from adreel.flows.resume import resume
from adreel.records import Records
from adreel.storage import Storage
from tests.api.serving import served
from tests.factories import make_session

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def api(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Serve a storage with one session, on a Prefect server with the deployments and no worker."""
    folder = str(tmp_path_factory.mktemp("openapi"))
    Records(Storage(folder)).save_session(make_session(session_id="abc-123"))
    with get_client(sync_client=True) as client:
        for flow in (generate_ad, generate_campaign, regenerate_scene, resume):
            client.create_deployment(client.create_flow(flow), flow.name)
    with served(prefect=prefect_server, ADREEL_STORAGE=folder, ADREEL_REQUESTS_PER_MINUTE=10**6) as client:
        yield client


@pytest.fixture(scope="module")
def description(api: httpx.Client) -> Any:
    return schemathesis.openapi.from_url(str(api.base_url.join("/openapi.json")))


schema = schemathesis.pytest.from_fixture("description")


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_answer_is_undocumented(case: schemathesis.Case[Any]) -> None:
    if "wait" in (case.query or {}):
        # Nobody works here: it would wait to the end.
        case.query["wait_seconds"] = 0.1
    case.call_and_validate(checks=CHECKS)


def test_every_call_has_examples_and_says_what_can_go_wrong(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    assert document["info"]["title"] == "adreel"
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            assert {"401", "422", "429"} <= set(call["responses"]), (method, path)
            if "application/json" in call.get("requestBody", {}).get("content", {}):
                schema = call["requestBody"]["content"]["application/json"]["schema"]
                # A body that may be left out may be null.
                name = schema.get("anyOf", [schema])[0]["$ref"].rpartition("/")[2]
                body = document["components"]["schemas"][name]
                assert body["additionalProperties"] is False
                assert body.get("examples"), name
            for parameter in call.get("parameters", []):
                assert parameter["in"] != "path" or "examples" in parameter["schema"] or "$ref" in parameter["schema"]
