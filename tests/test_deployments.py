"""The deployments of prefect.yaml on a real server, carried out by a real worker."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled

from adreel.local_runware import LocalRunware
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.storage import Storage
from tests.factories import make_session

pytestmark = pytest.mark.xdist_group("prefect")

PREFECT = Path(sys.executable).with_name("prefect")
PREFECT_YAML = Path(__file__).parent.parent / "prefect.yaml"
PATIENCE = 120


@pytest.fixture
def worker(prefect: str, runware: LocalRunware, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ADREEL_STORAGE", str(Path("outputs").absolute()))
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
    shutil.copy(PREFECT_YAML, "prefect.yaml")
    for command in (
        ["work-pool", "create", "adreel", "--type", "process", "--overwrite"],
        ["--no-prompt", "deploy", "--all"],
    ):
        done = subprocess.run([PREFECT, *command], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    with Path("worker.log").open("w") as log:
        process = subprocess.Popen([PREFECT, "worker", "start", "--pool", "adreel"], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def start(deployment: str, **parameters: Any) -> UUID:
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        return client.create_flow_run_from_deployment(found.id, parameters=parameters).id


def ended(run_id: UUID) -> FlowRun:
    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        while not (run := client.read_flow_run(run_id)).state or not run.state.is_final():
            assert time.monotonic() < deadline, f"{run.state}\n{Path('worker.log').read_text()}"
            time.sleep(0.3)
    return run


@pytest.mark.usefixtures("worker")
def test_a_worker_generates_retries_only_what_is_missing_and_regenerates(runware: LocalRunware) -> None:
    records = Records(Storage(os.environ["ADREEL_STORAGE"]))
    records.save_session(make_session(seconds=1))
    runware.inject("insufficientCredits:ctax1")

    run_id = start("generate-ad/generate-ad", session_id="ad")
    partial = ended(run_id)
    assert (partial.name, partial.state_name) == ("ad-ad", "Partial")
    assert len(runware.ledger.entries) == 3

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
