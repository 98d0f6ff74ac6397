"""The limit `runware` under fire: by the provider's ledger never more are in flight, whatever is killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from adreel.emulator import LocalRunware
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.storage import Storage
from tests.factories import make_session
from tests.workers import deploy, free_port, prefect_server, processes_of, recovery, start, state_name, until, worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT = 2
ADS = ("ad-1", "ad-2", "ad-3")
# The crash reporter takes some seconds. The clips of a killed run have to be in flight by then.
RENDER_SECONDS = 12.0


class Server:
    """A Prefect server that can be killed and started again, with its database and leases on disk."""

    def __init__(self, home: Path) -> None:
        self._home, self._port, self._running = home, free_port(), ExitStack()

    def start(self) -> str:
        waits = {"PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "2"}
        return self._running.enter_context(prefect_server(self._home, self._port, **waits))

    def kill(self) -> None:
        # Its command and the process that this has started: both are told the port.
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"\0{self._port}\0".encode() in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a server with two slots, what brings runs back, and two workers."""
    server = Server(tmp_path / "prefect")
    url = server.start()
    for name, value in {
        "PREFECT_API_URL": url,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "ADREEL_STORAGE": str(tmp_path / "outputs"),
    }.items():
        monkeypatch.setenv(name, value)
    deploy(url)
    with temporary_settings({PREFECT_API_URL: url}), recovery(url, tmp_path / "recovery.log"):
        with get_client(sync_client=True) as client:
            client.upsert_global_concurrency_limit_by_name("runware", LIMIT)
        yield server
    server.stop()


@pytest.fixture
def records(server: Server) -> Records:
    records = Records(Storage(os.environ["ADREEL_STORAGE"]))
    for session_id in (*ADS, "another"):
        records.save_session(make_session(session_id=session_id, seconds=1))
    return records


@pytest.fixture
def runware(runware: LocalRunware, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunware]:
    from adreel.emulator import in_thread

    with in_thread(render_seconds=RENDER_SECONDS) as slow:
        monkeypatch.setenv("RUNWARE_URL", slow.url)
        yield slow


def start_all() -> list[UUID]:
    return [start("generate-ad/generate-ad", session_id=session_id) for session_id in ADS]


def in_flight(records: Records, runware: LocalRunware, run_id: UUID) -> int:
    """Count the scenes of a run that Runware is rendering, by its ledger."""
    job = records.job(str(run_id))
    open_tasks = {entry.uuid for entry in runware.ledger.open_entries()}
    takes = [records.take(job.session_id, scenario, job.job_id) for scenario in job.scenarios] if job else []
    return len(open_tasks & {str(attempt.uuid) for take in takes if take for attempt in take.attempts})


def active_slots() -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name("runware").active_slots


def kill(run_id: UUID) -> None:
    """Kill a run as `prefect worker` does at a SIGTERM: its crash reporter lives on."""
    for process in processes_of(run_id):
        with suppress(OSError):
            if b"adreel.tasks.crash_reporter" not in Path(f"/proc/{process}/cmdline").read_bytes():
                os.kill(process, signal.SIGKILL)


def check_all_is_home(records: Records, runware: LocalRunware, run_ids: list[UUID]) -> None:
    # A run that has crashed is carried on: that is no end.
    until(lambda: {state_name(run_id) for run_id in run_ids} == {"Completed"}, "the end of the ads", 300)
    for run_id in run_ids:
        job = records.job(str(run_id))
        assert job
        takes = [records.take(job.session_id, scenario, job.job_id) for scenario in Scenario]
        assert all(take and take.is_stored for take in takes)
    entries = runware.ledger.entries
    assert len(entries) == 4 * len(run_ids)
    assert all(entry.billed == entry.price for entry in entries)
    assert runware.ledger.most_in_flight() == LIMIT
    until(lambda: active_slots() == 0, "free slots", 20)


def test_a_killed_worker_does_not_let_more_into_flight_and_leaves_no_slot_taken(
    records: Records, runware: LocalRunware
) -> None:
    with worker("first", "--limit", "2") as first, ExitStack() as later:
        run_ids = start_all()
        until(lambda: len(claimed("first", run_ids)) == 2, "two runs of the first worker")
        later.enter_context(worker("second"))
        struck = claimed("first", run_ids)
        # A slot that was taken just before the kill is in no record, so it would stay taken until its lease ends.
        until(lambda: sum(in_flight(records, runware, run_id) for run_id in run_ids) == LIMIT, "clips in flight")
        until(lambda: any(in_flight(records, runware, run_id) for run_id in struck), "a clip in flight")
        first.kill()
        for run_id in struck:
            kill(run_id)
        assert any(in_flight(records, runware, run_id) for run_id in struck)
        check_all_is_home(records, runware, run_ids)


def test_a_server_that_dies_midway_forgets_no_slot_and_a_further_ad_gets_its_own(
    server: Server, records: Records, runware: LocalRunware
) -> None:
    with worker():
        run_ids = start_all()
        until(lambda: len(runware.ledger.entries) > LIMIT, "the first clips")
        server.kill()
        server.start()
        check_all_is_home(records, runware, run_ids)
        further = start("generate-ad/generate-ad", session_id="another")
        check_all_is_home(records, runware, [*run_ids, further])


def claimed(name: str, run_ids: list[UUID]) -> list[UUID]:
    """Return the runs that a worker has claimed."""
    log = Path(f"{name}.log").read_text()
    return [run_id for run_id in run_ids if str(run_id) in log]
