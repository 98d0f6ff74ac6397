"""The reference of the HTTP API: what it says is complete, its examples are valid, and its requests can be sent."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from adreel.records import Records
from adreel.storage import Storage
from adreel.web.field_descriptions import description_of
from adreel.web.pages.api_reference import Operation, Reference, build_reference
from tests.api.serving import KEY, KEYS, served
from tests.factories import make_session
from tests.storyboard.reading import PageReader

ADDRESS = "https://ads.example"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = str(tmp_path_factory.mktemp("reference"))
    Records(Storage(folder)).save_session(make_session(session_id="stored"))
    with served(ADREEL_STORAGE=folder) as client:
        yield client


@pytest.fixture(scope="module")
def document(api: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def reference(document: dict[str, Any]) -> Reference:
    return build_reference(document, ADDRESS, needs_key=True)


def operations(reference: Reference) -> list[Operation]:
    return [each for group in reference.groups for each in group.operations]


def test_every_operation_field_and_parameter_is_described(document: dict[str, Any], reference: Reference) -> None:
    schemas = document["components"]["schemas"]
    bare = [
        (model, name)
        for model, schema in schemas.items()
        for name, field in schema.get("properties", {}).items()
        if not description_of(field, schemas)
    ]
    assert bare == []
    assert [(each.path, row.name) for each in operations(reference) for row in each.parameters if not row.text] == []
    shown = operations(reference)
    assert len(shown) == sum(len(calls) for calls in document["paths"].values())
    assert [each.anchor for each in shown if len(each.summary.split()) < 3] == []
    assert len({each.summary for each in shown}) == len(shown)


def test_every_example_is_valid(document: dict[str, Any], reference: Reference) -> None:
    schemas = document["components"]["schemas"]

    def check(schema: dict[str, Any], example: Any, place: str) -> None:
        errors = list(Draft202012Validator({**schema, "components": {"schemas": schemas}}).iter_errors(example))
        assert errors == [], (place, example)

    for model, schema in schemas.items():
        for example in schema.get("examples", ()):
            check(schema, example, model)
        for name, field in schema.get("properties", {}).items():
            for example in field.get("examples", ()):
                check(field, example, f"{model}.{name}")
    for each in operations(reference):
        call = document["paths"][each.path][each.method.lower()]
        if body := call.get("requestBody", {}).get("content", {}).get("application/json"):
            words = shlex.split(each.request.replace("\\\n", " "))
            check(body["schema"], json.loads(words[words.index("-d") + 1]), each.anchor)
        answers = [
            answer["content"]["application/json"]["schema"]
            for answer in call["responses"].values()
            if "application/json" in answer.get("content", {})
        ]
        if each.answer and answers:
            check(answers[0], json.loads(each.answer), each.anchor)


def test_requests_are_commands_for_this_server(reference: Reference) -> None:
    for each in operations(reference):
        words = shlex.split(each.request.replace("\\\n", " "))
        assert words[0] == "curl"
        [url] = [word for word in words if word.startswith("http")]
        assert re.fullmatch(re.escape(ADDRESS) + re.sub(r"{\w+}", "[^/]+", each.path) + r"(\?.*)?", url)
        assert ("Authorization: Bearer $KEY" in words) == (each.path not in {"/healthz", "/readyz"})


@pytest.mark.parametrize("anchor", ["create_session", "change_session", "change_scene", "create_share"])
def test_the_example_of_a_request_is_accepted(api: httpx.Client, reference: Reference, anchor: str) -> None:
    [shown] = [each for each in operations(reference) if each.anchor == anchor]
    words = shlex.split(shown.request.replace("\\\n", " "))
    body = json.loads(words[words.index("-d") + 1])
    path = shown.path.replace("{session_id}", "stored").replace("{scenario}", "hook")
    answer = api.request(shown.method, path, json=body)
    assert answer.is_success, answer.text


def test_the_page_shows_it_all_and_loads_only_from_this_server(api: httpx.Client, reference: Reference) -> None:
    answer = api.get("/docs")
    page = PageReader(answer.text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = [link["href"] for link in page.all("a") if link["href"].startswith("#")]
    assert {link[1:] for link in links} - set(ids) == set()
    assert {each.anchor for each in operations(reference)} <= set(ids)
    assert "hook.duration" in page.text
    assert str(api.base_url).rstrip("/") in page.text
    assert "Bearer $KEY" not in page.text
    loaded = [each.get("src") or each["href"] for tag in ("script", "link", "img") for each in page.all(tag)]
    assert [url for url in loaded if not url.startswith("/static/")] == []
    assert not re.search(r"\sstyle=|\son\w+=|<style|`", answer.text)


def test_the_reference_needs_a_key_and_shows_where_to_put_it(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    monkeypatch.setenv("ADREEL_PUBLIC_URL", f"{ADDRESS}/adreel")
    with served() as client:
        assert client.get("/docs").status_code == 401
        text = client.get("/docs", headers={"Authorization": f"Bearer {KEY}"}).text
    assert f"curl {ADDRESS}/adreel/api/sessions" in text
    assert "Bearer $KEY" in text
    assert KEY not in text
