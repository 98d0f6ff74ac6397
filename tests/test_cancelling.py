"""What a cancelled run leaves behind."""

from uuid import uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from adreel.jobs import open_scenes, start_job
from adreel.messages import State
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.settings import Settings
from adreel.views import job_status
from flows.cancelling import end_cancelled
from flows.generate_ad import generate_ad
from tests.factories import make_session


def test_a_job_whose_run_is_cancelled_before_its_tasks_began_has_ended_and_can_be_resumed(records: Records) -> None:
    records.save_session(make_session())
    run = FlowRun(id=uuid4(), flow_id=uuid4())
    start_job(records, Settings.load(), str(run.id), "ad", scenarios=[Scenario.HOOK])
    assert job_status(records, str(run.id)).overall_status == State.GENERATING
    [hook] = generate_ad.on_cancellation_hooks
    hook(generate_ad, run, Cancelling())
    assert job_status(records, str(run.id)).overall_status == State.FAILED
    [(job, scenes)] = open_scenes(records, Settings.load(), str(run.id))
    assert (job.rounds, scenes) == (1, [Scenario.HOOK])


def test_a_run_that_is_cancelled_before_it_has_a_job_leaves_nothing(records: Records) -> None:
    end_cancelled(generate_ad, FlowRun(id=uuid4(), flow_id=uuid4()), Cancelling())
    assert records.job_ids() == []
