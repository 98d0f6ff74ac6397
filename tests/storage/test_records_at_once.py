"""Concurrent writers of a take's record: the most advanced state stays."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState
from adreel.records import Records
from tests.factories import make_take

STATES = [AttemptState.STORED, AttemptState.SUBMITTED, AttemptState.RENDERED, AttemptState.ACCEPTED]
ROUNDS = 8


def test_a_take_never_goes_back_whoever_writes_last(open_records: Callable[[], Records]) -> None:
    def write(state: AttemptState) -> None:
        records = open_records()
        for number in range(ROUNDS):
            records.save_take(make_take(state, job_id=f"job-{number}"))

    with ThreadPoolExecutor(len(STATES)) as pool:
        list(pool.map(write, STATES))
    takes = open_records().takes("ad", Scenario.HOOK)
    assert [take.attempts[0].state for take in takes] == [AttemptState.STORED] * ROUNDS


def test_a_runner_is_told_which_record_stands(open_records: Callable[[], Records]) -> None:
    records, stored, accepted = open_records(), make_take(AttemptState.STORED), make_take(AttemptState.ACCEPTED)
    assert records.update_take(stored, lambda _: True) == stored, "there was none to yield to"
    assert records.update_take(accepted, lambda latest: latest.is_stored) == stored
    assert records.take("ad", Scenario.HOOK, "job-1") == stored
    assert records.update_take(accepted, lambda _: False) == accepted
    assert records.take("ad", Scenario.HOOK, "job-1") == accepted
