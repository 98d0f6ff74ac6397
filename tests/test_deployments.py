"""The deployments of prefect.yaml on a real server, carried out by a real worker."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Scheduled

from adreel.emulator import LocalRunware
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.storage import Storage
from tests import workers
from tests.factories import make_session
from tests.workers import deploy, deploy_by_prefect, ended, start

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(prefect: str, runware: LocalRunware, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ADREEL_STORAGE", str(Path("outputs").absolute()))
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
    deploy(prefect)
    with workers.worker():
        yield


@pytest.mark.usefixtures("prefect", "runware")
def test_a_worker_refuses_a_storage_that_ends_with_its_run(prefect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADREEL_STORAGE", raising=False)
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
    deploy_by_prefect(prefect, Path())
    with workers.worker(plain=True):
        run = ended(start("generate-ad/generate-ad", session_id="ad"))
    assert run.state is not None
    assert (run.state_name, "give the worker an absolute path" in (run.state.message or "")) == ("Failed", True)


@pytest.mark.usefixtures("worker")
def test_a_worker_generates_retries_only_what_is_missing_and_regenerates(runware: LocalRunware) -> None:
    records = Records(Storage(os.environ["ADREEL_STORAGE"]))
    records.save_session(make_session(seconds=1))
    runware.inject("insufficientCredits:ctax1")

    run_id = start("generate-ad/generate-ad", session_id="ad")
    partial = ended(run_id)
    assert partial.name == "ad-ad"
    # Scenes that were not sent before the refusal are open too.
    assert partial.state_name in {"Partial", "Failed"}
    assert len(runware.ledger.entries) <= 3

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Scheduled(name="AwaitingRetry"), force=True)
    assert ended(run_id).state_name == "Completed"
    assert sorted(str(entry.scenario) for entry in runware.ledger.entries) == sorted(Scenario)

    regenerated = start(
        "regenerate-scene/regenerate-scene",
        session_id="ad",
        scenario="hook",
        changes={"visual_description": "another hook"},
    )
    assert ended(regenerated).state_name == "Completed"
    assert [take.job_id for take in records.takes("ad", Scenario.HOOK)] == [str(run_id), str(regenerated)]
