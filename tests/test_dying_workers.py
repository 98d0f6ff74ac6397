"""Runs whose worker dies or is ended, and runs that are cancelled: on a real server, by real kills."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Scheduled

from adreel.emulator import LocalRunware, in_thread
from adreel.models.api import State as JobState
from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.records.views import job_status
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import make_session
from tests.slots import free_slots
from tests.workers import (
    deploy,
    ended,
    has_sent,
    kill_run,
    prefect_server,
    processes_of,
    read,
    recovery,
    start,
    state_name,
    until,
    worker,
)

pytestmark = pytest.mark.slow

# Slots that come back sooner were freed by the run, not by the end of their lease.
SOONER_THAN_THE_LEASE = 40.0
# One scene is held up at each step of its purchase: the first for the time after which a submit is repeated.
HELD_UP = ("dropReplySilent:hookx1", "unknownTask:hookx*", "statusBack:problemx*", "slowDrip:solutionx1")
STEPS = {Scenario.HOOK: "submitted", Scenario.PROBLEM: "accepted", Scenario.SOLUTION: "rendered"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server with all its services for this file, and what brings runs of dead workers back."""
    folder = tmp_path_factory.mktemp("prefect")
    with prefect_server(folder) as url:
        deploy(url)
        with recovery(url, folder / "recovery.log"):
            yield url


@pytest.fixture
def stack(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set up everything but a worker, and leave no run behind."""
    for name, value in {
        "PREFECT_API_URL": server,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "RUNWARE_API_KEY": "",
        "ADREEL_STORAGE": str(tmp_path / "outputs"),
        "ADREEL_MODEL": "bytedance:2@2",
        "ADREEL_SIZE": "128x72",
    }.items():
        monkeypatch.setenv(name, value)
    with temporary_settings(updates={PREFECT_API_URL: server}):
        free_slots()
        yield
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs()
            for run in runs:
                kill_run(run.id)
                client.delete_flow_run(run.id)


@pytest.fixture
def records(stack: None) -> Records:
    records = Records(Storage(os.environ["ADREEL_STORAGE"]))
    records.save_session(make_session(seconds=1))
    return records


@contextmanager
def runware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[LocalRunware]:
    """Serve an emulator whose tasks outlive it: the next one goes on with them."""
    settings = {"render_seconds": 0.3, "ledger_file": tmp_path / "ledger.jsonl", **settings}
    with in_thread(**settings) as provider:
        monkeypatch.setenv("RUNWARE_URL", provider.url)
        yield provider


def takes(records: Records, run_id: UUID) -> dict[Scenario, Take]:
    found = {scenario: records.take("ad", scenario, str(run_id)) for scenario in Scenario}
    return {scenario: take for scenario, take in found.items() if take is not None}


def steps(records: Records, run_id: UUID) -> dict[Scenario, str]:
    return {scene: str(take.attempts[-1].state) for scene, take in takes(records, run_id).items() if take.attempts}


def active_slots() -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name("runware").active_slots


def messages(run_id: UUID) -> list[str | None]:
    with get_client(sync_client=True) as client:
        return [state.message for state in client.read_flow_run_states(run_id)]


def set_state(run_id: UUID, state: Any, *, force: bool = False) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, state, force=force)


def bought(provider: LocalRunware) -> list[str]:
    return sorted(str(entry.scenario) for entry in provider.ledger.entries)


def test_clips_that_finish_while_no_worker_lives_are_stored_after_the_next_one_starts(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runware(tmp_path, monkeypatch, render_seconds=5) as provider:
        with worker("first") as first:
            run_id = start("generate-ad/generate-ad", session_id="ad")
            until(lambda: len(provider.ledger.entries) == 4, "four accepted tasks")
            until(lambda: has_sent(run_id, "prefect.flow-run.heartbeat"), "a heartbeat")
            first.kill()
            kill_run(run_id)
        assert state_name(run_id) == "Running"
        until(lambda: not provider.ledger.open_entries(), "the end of the renders")
        with worker("second"):
            run = ended_after_crash(run_id)
        assert (run.state_name, run.run_count) == ("Completed", 2)
        assert all(take.is_stored for take in takes(records, run_id).values())
        assert bought(provider) == ["cta", "hook", "problem", "solution"]


def ended_after_crash(run_id: UUID) -> Any:
    until(lambda: read(run_id).run_count > 1, "a second start")
    return ended(run_id)


def held_up(records: Records) -> UUID:
    """Start a run of three scenes and wait until each is held up at its step."""
    run_id = start("generate-ad/generate-ad", session_id="ad", scenarios=[scene.value for scene in STEPS])
    until(lambda: steps(records, run_id) == STEPS, f"the steps {STEPS}")
    return run_id


def test_a_cancel_at_any_step_frees_the_slots_and_a_resume_brings_the_clips_home(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as workers:
        with runware(tmp_path, monkeypatch, faults=HELD_UP) as provider:
            workers.enter_context(worker())
            run_id = held_up(records)
            set_state(run_id, Cancelling())
            until(lambda: active_slots() == 0, "free slots", SOONER_THAN_THE_LEASE)
            assert ended(run_id).state_name == "Cancelled"
            until(lambda: not processes_of(run_id), "the end of the run's processes")
        assert steps(records, run_id) == STEPS
        assert {take.problem and take.problem.code for take in takes(records, run_id).values()} == {"cancelled"}

        with runware(tmp_path, monkeypatch, port=provider.port) as well_again:
            assert ended(start("resume/resume", target="ad")).state_name == "Completed"
    assert all(take.is_stored for take in takes(records, run_id).values())
    assert bought(well_again) == sorted(STEPS)


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("flow", ["generate-campaign", "resume"])
def test_a_cancelled_run_of_many_jobs_ends_each_of_them(
    records: Records, runware: LocalRunware, flow: str, tmp_path: Path
) -> None:
    runware.inject("neverEnds:hookx*")
    sessions = [make_session(session_id=f"ad-{number}", seconds=1) for number in range(3)]
    source = tmp_path / "ads.jsonl"
    source.write_text("\n".join(session.model_dump_json(exclude_none=True) for session in sessions))
    for session in sessions if flow == "resume" else []:
        records.save_session(session)
        start_job(records, Settings.load(), f"job-of-{session.session_id}", session.session_id)
    parameters: dict[str, Any] = {"target": "all"} if flow == "resume" else {"source": str(source)}
    with worker():
        run_id = start(f"{flow}/{flow}", **parameters)
        until(lambda: len(runware.ledger.open_entries()) == 3, "the hooks")
        jobs = records.jobs()
        assert {job.run_id for job in jobs} == {str(run_id)}
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Cancelling())
        assert ended(run_id).state_name == "Cancelled"
        until(lambda: all(job.ended_at for job in records.jobs()), "the ends of the jobs", 20)
    states = {job_status(records, job.job_id).overall_status for job in jobs}
    assert states <= {JobState.PARTIAL, JobState.CANCELLED}


def test_sigterm_to_a_worker_leaves_its_slots_to_the_next_worker_which_carries_the_run_on(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runware(tmp_path, monkeypatch, faults=HELD_UP) as provider:
        with worker("first") as first:
            run_id = held_up(records)
            until(lambda: active_slots() == 2, "the slot of what is rendered to be given back")
            first.send_signal(signal.SIGTERM)
            until(lambda: not processes_of(run_id), "the end of the run's processes")
            # The crash reporter has said so, long before its heartbeats are missed.
            assert "The process of this run was killed." in messages(run_id)
        assert steps(records, run_id) == STEPS
        # What Runware has been sent is in flight still.
        assert active_slots() == 2

    with runware(tmp_path, monkeypatch, port=provider.port) as well_again, worker("second"):
        assert ended_after_crash(run_id).state_name == "Completed"
        until(lambda: active_slots() == 0, "free slots", SOONER_THAN_THE_LEASE)
    assert all(take.is_stored for take in takes(records, run_id).values())
    assert bought(well_again) == sorted(STEPS)


def test_two_workers_with_the_same_run_at_once_buy_each_clip_once_and_both_end_well(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as workers:
        with runware(tmp_path, monkeypatch, faults=["statusBackx*"]) as provider:
            for name in ("first", "second"):
                workers.enter_context(worker(name))
            run_id = start("generate-ad/generate-ad", session_id="ad", scenarios=["hook", "cta"])
            until(lambda: len(provider.ledger.entries) == 2, "two accepted tasks")
            set_state(run_id, Scheduled(name="AwaitingRetry"), force=True)
            until(lambda: provider.ledger.counters.connections == 2, "the second process")
        with runware(tmp_path, monkeypatch, port=provider.port) as well_again:
            until(lambda: not processes_of(run_id), "the end of both processes")
            assert bought(well_again) == ["cta", "hook"]
        assert read(run_id).state_name == "Completed"
    logs = "".join(Path(f"{name}.log").read_text() for name in ("first", "second"))
    assert logs.count("Flow run 'ad-ad' - Finished in state Completed()") == 2
    assert all(take.is_stored for take in takes(records, run_id).values())
