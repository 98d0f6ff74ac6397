"""`adreel doctor` on real parts: what is well is said to be, and what is not comes with what to do."""

import json

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed, Pending

from adreel.local_runware import LocalRunware, in_thread
from adreel.settings import Settings
from deployments import doctor
from deployments.deploying import deploy
from deployments.doctor import Finding, examine
from deployments.recovery import Terms
from tests.test_cli import adreel
from tests.workers import until, worker

needs_prefect = pytest.mark.xdist_group("prefect")


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


def test_a_wrong_key_is_found_without_buying(runware: LocalRunware, monkeypatch: pytest.MonkeyPatch) -> None:
    assert without_server()["Runware"].is_well
    monkeypatch.setenv("RUNWARE_API_KEY", "wrong-key")
    with in_thread(keys=frozenset({"the-right-key"})) as strict:
        monkeypatch.setenv("RUNWARE_URL", strict.url)
        refused = without_server()["Runware"]
    assert refused.advice == "mend RUNWARE_API_KEY or RUNWARE_URL"
    assert "wrong-key" not in refused.found
    assert runware.ledger.entries == []


def test_a_server_that_is_away_is_named() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        found = findings()
    assert "http://127.0.0.1:1/api does not answer" in found["Prefect"].found
    assert list(found) == ["storage", "Runware", "Prefect"]


@needs_prefect
def test_a_bare_server_wants_a_deploy_a_worker_and_leases_on_disk(prefect: str) -> None:
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        found = findings()
        assert found["deployments"].advice == "adreel deploy"
        assert "lease_storage.filesystem" in found["leases"].advice
        assert "*" in found["CORS"].found
        list(deploy(client, Settings()))
    with worker("doctor"):
        until(lambda: findings()["workers"].is_well, "a worker")
        found = findings()
        assert found["recovery"].is_well
    assert [found[what].is_well for what in ("Prefect", "deployments", "limit", "workers")] == [True] * 4


@needs_prefect
def test_a_run_that_nobody_carries_on_wants_a_recovery(prefect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LATE", Terms(pause=0))
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


@needs_prefect
def test_the_command_exits_1_if_something_is_to_do(prefect: str) -> None:
    ran = adreel("doctor", "--json", PREFECT_API_URL=prefect)
    assert ran.returncode == 1
    assert {"storage", "Prefect", "leases"} <= {finding["what"] for finding in json.loads(ran.stdout)}
