"""The processes of compose.yaml, with its settings, lose a worker and an API server while ads are made."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from adreel.client import Client
from adreel.emulator.ledger import Ledger
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.views import job_status
from adreel.storage import Storage
from tests.factories import make_session
from tests.machines import AUTH, KEY, PATIENCE, REDIS, Machines
from tests.rigs.chaos.checks import all_takes
from tests.rigs.invariants import check_idle_storage
from tests.workers import read, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(REDIS is None, reason="no redis-server"),
]

ADS = [f"ad-{number}" for number in range(4)]
LEASES = "prefect:concurrency:lease:*"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    machines = Machines(tmp_path_factory.mktemp("machines"))
    with (
        machines.running() as url,
        temporary_settings(updates={PREFECT_API_AUTH_STRING: AUTH, PREFECT_API_URL: url}),
    ):
        yield machines


@pytest.fixture
def records(machines: Machines) -> Records:
    return Records(Storage(machines.storage))


def start(machines: Machines, records: Records, *ads: str) -> list[str]:
    for ad in ads:
        records.save_session(make_session(session_id=ad, seconds=1))
    with Client(f"http://127.0.0.1:{machines.ports['serve']}", key=KEY) as client:
        return [client.generate(ad).job_id for ad in ads]


def test_a_worker_that_is_stopped_hands_its_runs_on_before_its_container_ends(
    machines: Machines, records: Records
) -> None:
    [job] = start(machines, records, "ad")
    worker = machines.services[until(lambda: busy_worker(machines, records), "a worker with paid scenes", PATIENCE)]
    worker.stop()
    with get_client(sync_client=True) as client:
        messages = [state.message for state in client.read_flow_run_states(UUID(job))]
    assert "The process of this run was killed." in messages
    worker.start()
    until(lambda: is_home(records, job), f"the end of {job}", PATIENCE)


def test_a_worker_and_a_server_are_lost_and_every_scene_is_bought_once(machines: Machines, records: Records) -> None:
    jobs = start(machines, records, *ADS)
    victim = until(lambda: busy_worker(machines, records), "a worker with paid scenes", PATIENCE)
    struck = {process.flow_run for process in machines.tree(victim)} & set(jobs)
    # What the servers share lies where both see it.
    assert machines.redis.keys(LEASES)
    machines.kill(victim)
    machines.kill("server-a")

    # The other worker is full of runs that may all wait for slots of the killed ones: it carries these on beside its
    # limit, sooner than the leases end.
    until(lambda: all(is_home(records, job) for job in jobs), f"the end of {jobs}", PATIENCE)
    ledger = Ledger.read(machines.ledger_file)
    takes = list(all_takes(records))
    assert all(take.is_stored and len(take.attempts) == 1 for take in takes)
    assert len({(take.session_id, take.scenario) for take in takes}) == len(takes) == (1 + len(ADS)) * len(Scenario)
    assert sorted(str(take.attempts[0].uuid) for take in takes) == sorted(entry.uuid for entry in ledger.entries)
    assert check_idle_storage(records, ledger) == []
    until(lambda: active_slots() == 0, "free slots", PATIENCE)
    assert not machines.redis.keys(LEASES)
    # The runs of the other worker were heard of all the while, over the server that is left.
    assert {job for job in jobs if read(UUID(job)).run_count == 1} >= set(jobs) - struck


def is_home(records: Records, job: str) -> bool:
    # The worker that is left may be full: a run that has not begun has no job yet.
    return records.job(job) is not None and job_status(records, job).overall_status == State.COMPLETED


def busy_worker(machines: Machines, records: Records) -> str | None:
    """Return a worker one of whose runs waits for a clip that Runware has accepted."""
    if not machines.ledger_file.exists():
        return None
    open_tasks = {entry.uuid for entry in Ledger.read(machines.ledger_file).open_entries()}
    at_it = {take.job_id for take in all_takes(records) if take.attempts and str(take.attempts[-1].uuid) in open_tasks}
    workers = (name for name in machines.services if name.startswith("worker"))
    return next((name for name in workers if {run.flow_run for run in machines.tree(name)} & at_it), None)


def active_slots() -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name("runware").active_slots
