"""`adreel doctor` on real parts: what is well is said to be, and what is not comes with what to do."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Crashed, Pending

from adreel.deployments import doctor
from adreel.deployments.deploy import deploy
from adreel.deployments.doctor import Finding, examine
from adreel.deployments.recovery import RecoveryOptions
from adreel.emulator import LocalRunware, in_thread
from adreel.settings import Settings
from adreel.storage import Storage
from tests.impostors import impostor
from tests.storage.servers import Environment, S3Server
from tests.test_cli import adreel
from tests.workers import prefect_server, until, worker


def findings() -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(Settings())}


def without_server() -> dict[str, Finding]:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        return findings()


def test_alone_with_the_local_runware_all_is_well() -> None:
    found = without_server()
    assert list(found) == ["storage", "Runware", "Prefect"]
    assert all(finding.is_well for finding in found.values())


def test_a_storage_that_can_not_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_STORAGE", "/proc/adreel")
    storage = without_server()["storage"]
    assert "/proc/adreel" in storage.found
    assert not storage.is_well


def test_an_object_store_is_tried_as_a_purchase_uses_it(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_STORAGE", s3.bucket())
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", s3.environment["ADREEL_STORAGE_OPTIONS"])
    storage = without_server()["storage"]
    assert storage.is_well, storage.found
    assert Storage.from_settings(Settings.load()).fs.find(s3_path()) == []


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("HTTP_IF_NONE_MATCH", "overwrites an existing file"),
        ("HTTP_IF_MATCH", "loses another process's update"),
    ],
)
def test_an_object_store_that_ignores_conditions_is_named(
    s3: S3Server, header: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.breaks = lambda _request, environment: bool(environment.pop(header, None)) and False
    monkeypatch.setenv("ADREEL_STORAGE", s3.bucket())
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", s3.environment["ADREEL_STORAGE_OPTIONS"])
    storage = without_server()["storage"]
    assert says in storage.found
    assert "docs/storage.md" in storage.advice
    assert Storage.from_settings(Settings.load()).fs.find(s3_path()) == []


class RefusingS3(S3Server):
    """An S3 server without support for one kind of condition."""

    header = ""

    def __call__(self, environment: Environment, start: Callable[..., Any]) -> Iterable[bytes]:
        if self.header not in environment:
            return super().__call__(environment, start)
        environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        start("501 Not Implemented", [("Content-Type", "application/xml")])
        return [b"<Error><Code>NotImplemented</Code><Message>A header is not implemented</Message></Error>"]


@pytest.mark.parametrize("header", ["HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"])
def test_an_object_store_that_refuses_conditions_is_named(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = RefusingS3()
    server.header = header
    with server:
        options = {**server.options, "config_kwargs": {"retries": {"max_attempts": 0}}}
        monkeypatch.setenv("ADREEL_STORAGE", server.bucket())
        monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", json.dumps(options))
        storage = without_server()["storage"]
        assert Storage.from_settings(Settings.load()).fs.find(s3_path()) == []
    assert not storage.is_well
    assert "A header is not implemented" in storage.found


def s3_path() -> str:
    return Settings.load().storage.removeprefix("s3://")


def test_a_wrong_key_is_found_without_buying(runware: LocalRunware, monkeypatch: pytest.MonkeyPatch) -> None:
    assert without_server()["Runware"].is_well
    monkeypatch.setenv("RUNWARE_API_KEY", "wrong-key")
    with in_thread(keys=frozenset({"the-right-key"})) as strict:
        monkeypatch.setenv("RUNWARE_URL", strict.url)
        refused = without_server()["Runware"]
    assert refused.advice == "check RUNWARE_API_KEY and RUNWARE_URL"
    assert "wrong-key" not in refused.found
    assert runware.ledger.entries == []


@pytest.mark.parametrize(("credits_left", "is_well"), [(12.5, True), (0.0, False)])
def test_the_balance_at_runware_is_told(credits_left: float, is_well: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_thread(credits=credits_left) as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        monkeypatch.setenv("RUNWARE_API_KEY", "a-key-of-a-test")
        balance = without_server()["balance"]
    assert balance.found == f"USD {credits_left:.2f} on the account"
    assert balance.is_well == is_well


def test_a_server_that_is_away_is_named() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        found = findings()
    assert "Prefect at http://127.0.0.1:1/api does not answer" in found["Prefect"].found
    assert "start it" in found["Prefect"].advice
    assert list(found) == ["storage", "Runware", "Prefect"]


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("a web page", "PREFECT_API_URL"),
        ("other credentials", "PREFECT_API_AUTH_STRING"),
        ("no such path", "PREFECT_API_URL"),
        ("a broken proxy", "look into its log"),
    ],
)
@pytest.mark.usefixtures("quick_retries")
def test_something_else_that_answers_is_named(kind: str, advice: str) -> None:
    with impostor(kind):
        found = findings()
    assert list(found) == ["storage", "Runware", "Prefect"]
    assert advice in found["Prefect"].advice
    assert "start it" not in found["Prefect"].advice


@pytest.mark.slow
def test_a_server_with_credentials_and_origins_is_well(tmp_path: Path) -> None:
    server = prefect_server(
        tmp_path / "prefect",
        PREFECT_SERVER_API_AUTH_STRING="adreel:secret",
        PREFECT_SERVER_CORS_ALLOWED_ORIGINS="http://localhost:4200",
    )
    with server as url, temporary_settings({PREFECT_API_URL: url}):
        assert "PREFECT_API_AUTH_STRING" in findings()["Prefect"].advice
        ran = adreel("deploy", PREFECT_API_URL=url, PREFECT_API_AUTH_STRING="adreel:secret")
        assert ran.returncode == 0, ran.stderr
        with temporary_settings({PREFECT_API_AUTH_STRING: "adreel:secret"}):
            found = findings()
    assert [found[what].is_well for what in ("Prefect", "authentication", "CORS", "deployments")] == [True] * 4
    assert not any("secret" in finding.found + finding.advice for finding in found.values())


@pytest.mark.slow
def test_a_bare_server_wants_a_deploy_a_worker_and_leases_on_disk(prefect: str) -> None:
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        found = findings()
        assert found["deployments"].advice == "adreel deploy"
        assert "lease_storage.filesystem" in found["leases"].advice
        assert "*" in found["CORS"].found
        assert "PREFECT_SERVER_CORS_ALLOWED_ORIGINS" in found["CORS"].advice
        assert "PREFECT_SERVER_API_AUTH_STRING" in found["authentication"].advice
        list(deploy(client, Settings()))
    with worker("doctor"):
        until(lambda: findings()["workers"].is_well, "a worker")
        found = findings()
        assert found["recovery"].is_well
    assert [found[what].is_well for what in ("Prefect", "deployments", "limit", "workers")] == [True] * 4


@pytest.mark.slow
def test_a_deployment_of_an_earlier_version_wants_a_deploy(prefect: str) -> None:
    with get_client(sync_client=True) as client:
        list(deploy(client, Settings()))
        resume = client.read_deployment_by_name("resume/resume")
        client.update_deployment(resume.id, DeploymentUpdate(entrypoint="flows.resume.resume"))
        found = findings()["deployments"]
        assert (found.found, found.advice) == ("resume has the entrypoint of an earlier version", "adreel deploy")
        list(deploy(client, Settings()))
        assert findings()["deployments"].is_well


def test_a_run_that_nobody_carries_on_wants_a_recovery(prefect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OVERDUE", RecoveryOptions(pause=0))
    with get_client(sync_client=True) as client:
        list(deploy(client, Settings()))
        generate = client.read_deployment_by_name("generate-ad/generate-ad").id
        run = client.create_flow_run_from_deployment(generate, parameters={"session_id": "ad"}, name="left-alone")
        client.set_flow_run_state(run.id, Pending())
        client.set_flow_run_state(run.id, Crashed())
        recovery = findings()["recovery"]
        client.delete_flow_run(run.id)
    assert "left-alone is Crashed" in recovery.found
    assert "adreel recover" in recovery.advice


def test_the_command_exits_1_if_something_is_to_do(prefect: str) -> None:
    ran = adreel("doctor", "--json", PREFECT_API_URL=prefect)
    assert ran.returncode == 1
    assert {"storage", "Prefect", "leases"} <= {finding["what"] for finding in json.loads(ran.stdout)}
