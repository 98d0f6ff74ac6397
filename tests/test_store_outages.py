"""Store outages in each phase of a run: the run waits, and buys nothing twice."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.states import Failed

from adreel.emulator import LocalRunware
from adreel.errors import AdreelError, BadRecord, StorageUnavailable, clean_error
from adreel.flows.generate_ad import generate_ad
from adreel.models.api import State
from adreel.records import Records
from adreel.records.views import job_status
from adreel.settings import Settings
from adreel.tasks.campaign_ads import campaign_ads
from adreel.tasks.generate_scene import generate_scene
from adreel.tasks.retries import RETRY_DELAYS, is_retryable, retry_unavailable, should_retry
from adreel.text import is_clean
from tests.factories import make_session
from tests.runs import run
from tests.storage.servers import Environment, S3Server

AT_ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}}}


@pytest.mark.parametrize("task", [generate_scene, campaign_ads], ids=lambda task: task.name)
def test_both_tasks_outlast_an_outage_of_a_minute(task: Any) -> None:
    assert task.retry_condition_fn is should_retry
    assert task.retries == len(task.retry_delay_seconds) == len(RETRY_DELAYS)
    # Prefect's jitter may halve a delay.
    assert sum(task.retry_delay_seconds) * (1 - task.retry_jitter_factor) >= 60
    away: Any = Failed(data=StorageUnavailable("the store is away"))
    assert should_retry(task, None, away)


def test_only_what_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("adreel.tasks.retries.time.sleep", waited.append)
    left: list[Exception] = [StorageUnavailable("away"), StorageUnavailable("away")]

    def call() -> str:
        if left:
            raise left.pop()
        return "well"

    delays = iter(RETRY_DELAYS)
    assert retry_unavailable(call, delays) == "well"
    assert waited == RETRY_DELAYS[:2]
    left.append(BadRecord("torn"))
    with pytest.raises(BadRecord):
        retry_unavailable(call, delays)
    # All jobs of a run share one budget of delays.
    left += [StorageUnavailable("away")] * 99
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            retry_unavailable(call, delays)
    assert sum(waited) <= sum(RETRY_DELAYS)


def test_an_unforeseen_error_is_told_in_words_that_a_database_can_keep() -> None:
    told = clean_error(ValueError("a \0 and \ud800"))
    assert isinstance(told, AdreelError)
    assert is_clean(str(told))
    assert not is_retryable(told)
    error = ValueError("as it is")
    assert clean_error(error) is error


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
class TestARun:
    @pytest.fixture
    def records(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
        bucket, options = s3.bucket(), {**s3.options, **AT_ONCE}
        monkeypatch.setenv("ADREEL_STORAGE", bucket)
        monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", json.dumps(options))
        monkeypatch.setattr("adreel.storage.RETRY_PAUSES", (0, 0))
        # Tasks keep the delays of their definition. This changes the delays of the flow.
        monkeypatch.setattr("adreel.flows.jobs.RETRY_DELAYS", [0.2] * 6)
        records = Records.of(Settings.load())
        records.save_session(make_session(seconds=1))
        yield records
        s3.answers = lambda _request, _environment: None

    @pytest.mark.parametrize("phase", ["start", "end"])
    def test_waits_for_a_store_that_is_away(
        self, records: Records, runware: LocalRunware, s3: S3Server, phase: str
    ) -> None:
        refused = 0

        def answer(request: str, _environment: Environment) -> tuple[str, bytes] | None:
            nonlocal refused
            is_job = "/jobs/" in request
            has_stored = len(runware.ledger.entries) == 4 and runware.ledger.counters.downloads >= 4
            if is_job and refused < 9 and (phase == "start" or (has_stored and request.startswith("PUT"))):
                refused += 1
                return "503 SlowDown", b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"
            return None

        s3.answers = answer
        job_id, state = run(generate_ad, session_id="ad")
        assert state.is_completed(), state.message
        assert refused == 9
        assert job_status(records, job_id).overall_status == State.COMPLETED
        job = records.job(job_id)
        assert job
        assert job.ended_at
        assert len(runware.ledger.entries) == 4
