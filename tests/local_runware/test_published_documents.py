"""The documents about models, as a client reads them over HTTP."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from adreel.emulator import LocalRunware, in_thread

KLING = "klingai:kling-video@3-standard"
HAILUO = "minimax:3@1"


@pytest.fixture(name="server")
def _server() -> Iterator[LocalRunware]:
    with in_thread() as server:
        yield server


def read(server: LocalRunware, path: str) -> Any:
    return httpx.get(f"http://127.0.0.1:{server.port}{path}").raise_for_status().json()


def schema_of(server: LocalRunware, slug: str) -> tuple[Any, Any]:
    document = read(server, f"/docs/models/{slug}/schema.json")
    return document["info"], document["components"]["schemas"]["RequestBody"]["items"]


def test_the_index_names_every_model_and_others_than_video_models(server: LocalRunware) -> None:
    index = read(server, "/docs/models/index.json")
    assert {entry["air"] for entry in index} > server.facts.models.keys()
    assert len(index) == len({entry["id"] for entry in index})
    assert "status" not in next(entry for entry in index if entry["air"] == "alibaba:happyhorse@1.0")


def test_a_schema_declares_what_a_model_takes_and_its_rules(server: LocalRunware) -> None:
    info, task = schema_of(server, "klingai-video-3-0-standard")
    assert (info["x-air-id"], info["x-status"]) == (KLING, "live")
    assert {"negativePrompt", "width", "inputs", "providerSettings"} <= task["properties"].keys()
    assert not {"seed", "resolution"} & task["properties"].keys()
    sizes = next(rule["then"]["oneOf"] for rule in task["allOf"] if "oneOf" in rule.get("then", {}))
    assert {"title": "720x1280", "properties": {"width": {"const": 720}, "height": {"const": 1280}}} in sizes
    frames = {"properties": {"inputs": {"required": ["frameImages"]}}, "required": ["inputs", "width"]}
    assert {"not": frames} in task["allOf"]


def test_prices_are_found_by_air_and_by_slug(server: LocalRunware) -> None:
    pricing = read(server, "/models/klingai%3Akling-video%403-standard/pricing")
    assert pricing["pricingRates"][0] == {"amount": 0.084, "unit": "durationSecond", "label": "720p · no audio"}
    assert read(server, "/models/klingai-video-3-0-standard/pricing") == pricing


def test_a_wrong_slug_is_a_web_page_and_a_wrong_air_is_not_found(server: LocalRunware) -> None:
    answer = httpx.get(f"http://127.0.0.1:{server.port}/docs/models/no-such-model/schema.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert httpx.get(f"http://127.0.0.1:{server.port}/models/no:such@1/pricing").status_code == 404


def test_a_changed_model_changes_every_document(server: LocalRunware) -> None:
    server.change_model(KLING, status="deprecated", replaced_by=HAILUO, deactivates_on="2027-01-31", seed=True)
    info, task = schema_of(server, "klingai-video-3-0-standard")
    assert info["x-status"] == "deprecated"
    assert "seed" in task["properties"]
    [listed] = [model for model in read(server, "/models") if model["air"] == KLING]
    assert (listed["replacedBy"], listed["deactivatesAt"]) == (HAILUO, "2027-01-31")
    server.retire_model(KLING)
    assert KLING not in {entry["air"] for entry in read(server, "/docs/models/index.json")}
    [listed] = [model for model in read(server, "/models") if model["air"] == KLING]
    assert listed["replacedBy"] == HAILUO
