"""The processes of compose.yaml, with its settings, lose a worker and an API server while ads are made."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from adreel.client import Client
from adreel.local_runware.ledger import Ledger
from adreel.messages import State
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.storage import Storage
from adreel.views import job_status
from tests.factories import make_session
from tests.machines import AUTH, KEY, PATIENCE, Machines
from tests.rigs.invariants import check_at_rest
from tests.workers import until

pytestmark = [pytest.mark.xdist_group("kills"), pytest.mark.timeout(900)]

ADS = [f"ad-{number}" for number in range(4)]
LEASES = "prefect:concurrency:lease:*"


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    machines = Machines(tmp_path)
    settings = {PREFECT_API_AUTH_STRING: AUTH}
    with machines.running() as url, temporary_settings(updates={**settings, PREFECT_API_URL: url}):
        yield machines


def test_a_worker_and_a_server_are_lost_and_every_scene_is_bought_once(machines: Machines) -> None:
    records = Records(Storage(machines.storage))
    for ad in ADS:
        records.save_session(make_session(session_id=ad, seconds=1))
    with Client(f"http://127.0.0.1:{machines.ports['serve']}", key=KEY) as client:
        jobs = [client.generate(ad).job_id for ad in ADS]
    victim = until(lambda: busy_worker(machines, records), "a worker with paid scenes", PATIENCE)
    # What the servers share lies where both see it.
    assert machines.redis.keys(LEASES)
    machines.kill(victim)
    machines.kill("server-a")

    for job in jobs:
        until(lambda job=job: job_status(records, job).overall_status == State.COMPLETED, f"the end of {job}", PATIENCE)
    ledger = Ledger.read(machines.ledger_file)
    takes = [take for ad in ADS for scenario in Scenario for take in records.takes(ad, scenario)]
    assert all(take.is_stored and len(take.attempts) == 1 for take in takes)
    assert len(takes) == len(ADS) * len(Scenario)
    assert sorted(str(take.attempts[0].uuid) for take in takes) == sorted(entry.uuid for entry in ledger.entries)
    assert check_at_rest(records, ledger) == []
    until(lambda: active_slots() == 0, "free slots", PATIENCE)
    assert not machines.redis.keys(LEASES)


def busy_worker(machines: Machines, records: Records) -> str | None:
    """Return a worker one of whose runs waits for a clip that Runware has accepted."""
    if not machines.ledger_file.exists():
        return None
    open_tasks = {entry.uuid for entry in Ledger.read(machines.ledger_file).open_entries()}
    at_it = {
        take.job_id
        for ad in ADS
        for scenario in Scenario
        for take in records.takes(ad, scenario)
        if take.attempts and str(take.attempts[-1].uuid) in open_tasks
    }
    workers = (name for name in machines.services if name.startswith("worker"))
    return next((name for name in workers if {run.flow_run for run in machines.tree(name)} & at_it), None)


def active_slots() -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name("runware").active_slots
