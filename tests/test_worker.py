"""`adreel worker`: its runs start warm, obey, and die with what stands for them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.states import Cancelling, Scheduled

from adreel.deployments.worker import environment_of_runs, may_hold_slots, runs_that_may_hold_slots
from adreel.emulator import LocalRunware
from adreel.errors import InputError
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Job
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from tests import workers
from tests.factories import NOW, make_session, make_take, save_job
from tests.impostors import Door
from tests.storage.servers import S3Server
from tests.test_cli import ADREEL, adreel
from tests.workers import deploy, ended, kill_run, processes_of, read, start, state_name, until


@pytest.fixture
def worker(prefect: str, runware: LocalRunware) -> Iterator[psutil.Process]:
    Records(Storage("outputs")).save_session(make_session(seconds=1))
    runware.inject("neverEnds:hookx*")
    deploy(prefect)
    with workers.worker() as process:
        yield psutil.Process(process.pid)


def child_of(process: psutil.Process, part: str) -> psutil.Process:
    """Wait for the child whose command line has this part."""

    def find() -> psutil.Process | None:
        return next((child for child in process.children() if part in " ".join(child.cmdline())), None)

    return until(find, f"a process {part}")


def begun() -> UUID:
    """Start a run that never ends by itself, and wait until it is under way."""
    run_id = start("generate-ad/generate-ad", session_id="ad", scenarios=["hook"])
    until(lambda: state_name(run_id) == "Running", "the run")
    return run_id


def commands_of(run_id: UUID) -> str:
    return " ".join(word for pid in processes_of(run_id) for word in psutil.Process(pid).cmdline())


@pytest.mark.slow
def test_a_run_is_forked_off_the_warm_process_and_dies_with_its_launcher(worker: psutil.Process) -> None:
    warm = child_of(worker, "adreel.deployments.fork_server")
    run_id = begun()
    (run,) = warm.children()
    assert "launcher.py" in commands_of(run_id)
    kill_run(run_id)
    psutil.wait_procs([run], timeout=20)
    assert not run.is_running()
    assert warm.is_running()


@pytest.mark.slow
def test_a_run_that_is_cancelled_is_cancelled(worker: psutil.Process) -> None:
    run_id = begun()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Cancelling())
    assert ended(run_id).state_name == "Cancelled"
    assert child_of(worker, "adreel.deployments.fork_server").children() == []


@pytest.mark.slow
def test_runs_start_cold_when_the_warm_process_is_dead(worker: psutil.Process) -> None:
    child_of(worker, "adreel.deployments.fork_server").kill()
    run_id = begun()
    assert "prefect.engine" in commands_of(run_id)


@pytest.mark.slow
def test_the_end_of_a_worker_is_the_end_of_all_that_it_started(worker: psutil.Process) -> None:
    warm = child_of(worker, "adreel.deployments.fork_server")
    begun()
    everything = [warm, *warm.children(), *worker.children()]
    worker.send_signal(signal.SIGTERM)
    _gone, alive = psutil.wait_procs(everything, timeout=30)
    assert alive == []


@pytest.mark.parametrize(
    ("command", "words", "number"),
    [
        pytest.param("worker", "started!", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("worker", "started!", signal.SIGHUP, marks=pytest.mark.slow),
        ("recover", "Watching the runs", signal.SIGTERM),
        pytest.param("serve --port 0", "", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_process_in_the_background_of_a_script(
    prefect: str, command: str, words: str, number: signal.Signals
) -> None:
    deploy(prefect)
    Path("said").touch()
    # A shell without job control starts background processes with SIGINT ignored.
    script = f'"{ADREEL}" {command} > said 2>&1 & echo $!; wait'
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as shell:
        assert shell.stdout is not None
        process = psutil.Process(int(shell.stdout.readline()))
        everything = [process]
        try:
            until(lambda: words in Path("said").read_text() if words else process.net_connections(), command)
            everything += process.children(recursive=True)
            process.send_signal(number)
            psutil.wait_procs(everything, timeout=30)
        finally:
            alive = [left for left in everything if left.is_running()]
            for left in alive:
                left.kill()
    assert alive == [], Path("said").read_text()
    assert "Traceback" not in Path("said").read_text()


@pytest.mark.slow
def test_a_run_that_is_retried_before_its_process_has_ended_leaves_the_worker_alive(worker: psutil.Process) -> None:
    run_id = start("generate-ad/generate-ad", session_id="nobody")
    for _ in range(3):
        assert ended(run_id).state_name == "Failed"
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Scheduled(name="AwaitingRetry"), force=True)
    assert ended(run_id).state_name == "Failed"
    assert worker.is_running()


@pytest.mark.parametrize(
    ("state", "slot", "holds"),
    [
        (AttemptState.ACCEPTED, uuid4(), True),
        (AttemptState.PLANNED, uuid4(), True),
        (AttemptState.ACCEPTED, None, False),
        (AttemptState.STORED, uuid4(), False),
        (AttemptState.FAILED, uuid4(), False),
        (None, None, False),
    ],
)
def test_a_place_beside_the_limit_is_for_runs_with_slots(
    state: AttemptState | None, slot: UUID | None, holds: bool
) -> None:
    records = Records(Storage("outputs"))
    take = make_take(state)
    if take.attempts:
        take.attempts[-1].slot = slot
    records.save_take(take)
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=[Scenario.HOOK, Scenario.CTA], created_at=NOW))
    assert may_hold_slots(records, "job-1") is holds
    assert may_hold_slots(records, str(uuid4()))


def test_the_records_of_a_killed_run_are_read_with_the_options_of_the_storage(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_STORAGE", s3.bucket())
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", s3.environment["ADREEL_STORAGE_OPTIONS"])
    records = Records.of(Settings.load())
    run = FlowRun(flow_id=uuid4())
    job = Job(job_id=str(run.id), session_id="ad", scenarios=[Scenario.HOOK], created_at=NOW)
    save_job(records, job)
    response = WorkerFlowRunResponse(work_pool_id=uuid4(), work_queue_id=uuid4(), flow_run=run)
    assert runs_that_may_hold_slots([response]) == []
    take = make_take(AttemptState.ACCEPTED, job_id=job.job_id)
    take.attempts[-1].slot = uuid4()
    records.save_take(take)
    assert runs_that_may_hold_slots([response]) == [response]


def test_what_an_env_file_says_reaches_the_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Else a run, in its temporary folder, would take the emulator for an ad that was meant to be bought.
    monkeypatch.setenv("ADREEL_SIZE", "128x72")
    Path(".env").write_text(
        "RUNWARE_API_KEY=a-real-key\nADREEL_MODEL=lightricks:ltx@2.3\nADREEL_SIZE=1x1\nHOME=/nowhere\n"
    )
    environment = environment_of_runs(Settings.load(), os.environ)
    assert (environment["RUNWARE_API_KEY"], environment["ADREEL_MODEL"]) == ("a-real-key", "lightricks:ltx@2.3")
    assert (environment["ADREEL_SIZE"], environment["HOME"]) == ("128x72", os.environ["HOME"])
    assert environment["ADREEL_STORAGE"] == str(tmp_path / "outputs")


def test_a_storage_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_STORAGE", "memory://ads")
    with pytest.raises(InputError, match="each run would have its own"):
        environment_of_runs(Settings.load(), os.environ)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a web page", "other credentials"])
def test_something_else_that_answers_for_a_while_ends_no_worker(
    prefect: str, runware: LocalRunware, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Records(Storage("outputs")).save_session(make_session(seconds=1))
    deploy(prefect)
    port = urlsplit(prefect).port
    assert port
    with Door(port).opened() as door:
        monkeypatch.setenv("PREFECT_API_URL", door.url)
        with workers.worker("patient") as process:
            first = start("generate-ad/generate-ad", session_id="ad", scenarios=["hook"])
            assert ended(first).state_name == "Completed"
            door.answer_by(kind)
            told = Path("patient.log")
            until(lambda: process.poll() is not None or "retrying" in told.read_text(), "its warning", 120)
            door.answer_by(None)
            second = start("generate-ad/generate-ad", session_id="ad", scenarios=["hook"])
            until(lambda: process.poll() is not None or read(second).state_name == "Completed", "the second run")
            assert process.poll() is None


@pytest.mark.slow
def test_a_missing_server_or_pool_is_named(prefect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = adreel("worker", "--pool", "nowhere")
    assert (done.returncode, "no work pool 'nowhere'" in done.stderr) == (2, True)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = adreel("worker")
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)
