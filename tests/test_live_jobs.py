"""Jobs of a live run are left to it; jobs of a killed run are resumed at once."""

import subprocess
import sys
from asyncio import to_thread
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.events.clients import get_events_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Running

from adreel.cli import jobs
from adreel.emulator import LocalRunware
from adreel.flows import in_process
from adreel.flows.generate_ad import generate_ad
from adreel.flows.resume import resume
from adreel.models.api import State
from adreel.models.runners import Runner, _started, registered_run
from adreel.models.scenarios import Scenario
from adreel.models.takes import Job
from adreel.orchestration import liveness
from adreel.orchestration.liveness import jobs_with_live_run
from adreel.purchase.jobs import ALL, resume_job, start_job
from adreel.records import Records
from adreel.records.views import job_status
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import make_session
from tests.runs import run
from tests.test_cli import adreel
from tests.workers import until


@pytest.fixture(autouse=True)
def _model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def runner_of(process: "subprocess.Popen[bytes]") -> Runner:
    own = Runner.here("a-run")
    return own.model_copy(update={"pid": process.pid, "started": _started(process.pid)})


def job_with(records: Records, runner: Runner | None, job_id: str = "job-1") -> Job:
    records.save_session(make_session(seconds=1))
    return start_job(records, Settings.load(), job_id, "ad", scenarios=[Scenario.HOOK], runner=runner)


def test_a_process_of_this_machine_is_asked_itself(records: Records, process: "subprocess.Popen[bytes]") -> None:
    job = job_with(records, runner_of(process))
    assert jobs_with_live_run(records, [job]) == [job]
    assert jobs_with_live_run(records, [job], "a-run") == []
    process.kill()
    process.wait()
    assert jobs_with_live_run(records, [job]) == []


def test_another_process_under_the_same_number_is_not_the_runner(
    records: Records, process: "subprocess.Popen[bytes]"
) -> None:
    runner = runner_of(process)
    job = job_with(records, runner.model_copy(update={"started": (runner.started or 0) - 1}))
    assert jobs_with_live_run(records, [job]) == []


def test_a_run_of_this_process_is_at_work_until_it_has_ended(records: Records) -> None:
    with registered_run("a-run") as runner:
        job = job_with(records, runner)
        assert jobs_with_live_run(records, [job]) == [job]
    assert jobs_with_live_run(records, [job]) == []


def test_a_job_of_an_earlier_version_is_taken_up(records: Records) -> None:
    assert jobs_with_live_run(records, [job_with(records, None)]) == []


def test_without_a_server_a_far_run_is_at_work_while_its_records_are_fresh(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_with(records, Runner(run_id=str(uuid4()), host="another/1", pid=1, started=1))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert jobs_with_live_run(records, [job]) == [job]
        monkeypatch.setattr(liveness, "RECORD_AGE", timedelta(0))
        assert jobs_with_live_run(records, [job]) == []


def test_a_server_that_does_not_answer_says_no_more_than_none(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "REQUEST_TIMEOUT", 1.0)
    job = job_with(records, Runner(run_id=str(uuid4()), host="another/1", pid=1, started=1))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert jobs_with_live_run(records, [job]) == [job]


@pytest.mark.usefixtures("prefect")
def test_a_command_does_not_advise_to_buy_what_another_run_has_taken_up_meanwhile(
    records: Records,
    process: "subprocess.Popen[bytes]",
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = job_with(records, None, "left")

    def taken_up(*_arguments: object, **_options: object) -> object:
        resume_job(records, Settings.load(), job, runner_of(process))
        return "", Completed()

    monkeypatch.setattr(in_process, "run_flow", taken_up)
    assert jobs.resume(ALL, limits={}, as_json=False, verbose=False) == 0
    said = capsys.readouterr()
    assert "job left is left to run a-run, which works on it" in said.err
    assert "adreel resume" not in said.out


@pytest.mark.usefixtures("prefect")
class TestOnAServer:
    def far_run(self, state: object) -> UUID:
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(generate_ad, state=state)  # type: ignore[arg-type]
            return run.id

    def far_job(self, records: Records, run_id: UUID) -> Job:
        return job_with(records, Runner(run_id=str(run_id), host="another/1", pid=1, started=1), str(run_id))

    def test_a_far_run_that_has_ended_is_not_at_work(self, records: Records) -> None:
        assert jobs_with_live_run(records, [self.far_job(records, self.far_run(Completed()))]) == []

    def test_a_far_run_that_began_just_now_is_at_work(self, records: Records) -> None:
        job = self.far_job(records, self.far_run(Running()))
        assert jobs_with_live_run(records, [job]) == [job]

    async def test_a_far_run_is_at_work_while_its_heart_beats(
        self, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(liveness, "STARTUP_GRACE", timedelta(0))
        run_id = await to_thread(self.far_run, Running())
        job = self.far_job(records, run_id)
        assert await to_thread(jobs_with_live_run, records, [job]) == []
        beat = Event(event="prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run_id}"})
        async with get_events_client() as events:
            await events.emit(beat)
        await to_thread(until, lambda: jobs_with_live_run(records, [job]) == [job], "the heartbeat")

    @pytest.mark.slow
    def test_resume_of_all_leaves_a_live_run_s_job_to_it_and_takes_up_a_killed_one_s(
        self, runware: LocalRunware, process: "subprocess.Popen[bytes]"
    ) -> None:
        records = Records(Storage("./outputs"))
        job_with(records, runner_of(process), "live")
        job_with(records, None, "left")
        _, state = run(resume)
        assert state.is_completed(), state.message
        assert job_status(records, "left").overall_status == State.COMPLETED
        assert job_status(records, "live").overall_status == State.GENERATING
        said = adreel("resume", "--all")
        assert (said.returncode, "job live is left to run a-run" in said.stderr) == (0, True)
        assert len(runware.ledger.entries) == 1

        process.kill()
        process.wait()
        assert adreel("resume", "--all").returncode == 0
        assert job_status(records, "live").overall_status == State.COMPLETED
        assert len(runware.ledger.entries) == 2
