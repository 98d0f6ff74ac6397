"""What lies in the storage of a test: takes and jobs of the session `ad` in all their states."""

from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Problem, Take, utc_now
from adreel.purchase.jobs import end_job, start_job
from adreel.records import Records
from adreel.settings import Settings
from tests.factories import make_take


def stored(records: Records, scenario: Scenario, job_id: str = "job-1", minute: int = 0) -> Take:
    take = make_take(scenario=scenario, job_id=job_id, minute=minute)
    records.save_take(take)
    return take


def with_job(records: Records, job_id: str = "job-1") -> None:
    start_job(records, Settings(), job_id, "ad")


def generating(records: Records, scenario: Scenario, state: AttemptState) -> None:
    take = records.take("ad", scenario, "job-1")
    assert take is not None
    take.plan_attempt(utc_now())
    take.advance(state)
    records.save_take(take)


def failed(records: Records, scenario: Scenario, message: str) -> None:
    take = records.take("ad", scenario, "job-1")
    assert take is not None
    take.problem = Problem(code="noCredits", message=message)
    records.save_take(take)
    job = records.job("job-1")
    assert job is not None
    end_job(records, job)
