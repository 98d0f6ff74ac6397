"""Measures the index of sessions: lists and metrics of many sessions, and its building on a slow store.

python -m benchmarks.index [LISTED] [BUILT]     100,000 sessions are listed, and 10,000 are read at 30 ms per request
"""

import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Lock

from adreel.index import SessionIndex, SessionQuery, list_campaigns, read_campaign
from adreel.index.queries import microseconds
from adreel.index.reading import RANKS, AdRow, SessionRow, read_session
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Job, Take
from adreel.records import Records
from adreel.storage import Storage
from adreel.storage.local import LocalDisk
from adreel.web.metrics import Metrics
from tests.factories import NOW, make_session, make_take, save_job

DELAY = 0.03
ROUNDS = 200
PRODUCTS = ("Lamp", "Tent", "Bottle", "Backpack", "Headphones", "Kettle", "Chair", "Jacket")


class SlowDisk(LocalDisk):
    """A disk whose requests take as long as those of an object store, and are counted."""

    requests = 0
    _lock = Lock()

    def _wait(self, requests: int = 1) -> None:
        with self._lock:
            SlowDisk.requests += requests
        time.sleep(DELAY * requests)

    def read(self, path: str, most: int | None = None) -> bytes:
        """Read a file."""
        self._wait()
        return super().read(path, most)

    def names(self, path: str) -> list[str]:
        """List a folder, a thousand names per request."""
        found = super().names(path)
        self._wait(1 + len(found) // 1000)
        return found

    def files(self, path: str) -> list[str]:
        """List what is below a folder."""
        self._wait()
        return super().files(path)


def main() -> None:
    """Measure and print."""
    listed = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    built = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        records = Records(Storage(f"{folder}/one"))
        for session in _sessions(records, 1):
            template = read_session(records, session)
        before = _memory()
        index = SessionIndex(records, Path(folder, "cache"))
        begun = time.perf_counter()
        for start in range(0, listed, 1000):
            index._store(_copy(template, number) for number in range(start, min(start + 1000, listed)))
        index.database.remember(complete="1")
        index.is_followed = True
        size = sum(path.stat().st_size for path in Path(folder, "cache").iterdir()) / 1e6
        print(f"{listed:,} sessions, stored in {time.perf_counter() - begun:.0f} s, {size:.0f} MB")
        _measure_lists(index)
        _print_p95("campaigns", lambda: list_campaigns(index))
        _print_p95("one of 10,000 ads", lambda: read_campaign(index, "campaign-0"))
        metrics = Metrics(index)
        while b"adreel_jobs{" not in metrics.text():
            time.sleep(0.1)
        _print_p95("/metrics", metrics.text)
        print(f"memory: {_memory():.0f} MB at most, {before:.0f} MB of them before")
        _measure_building(Path(folder), built)


def _measure_lists(index: SessionIndex) -> None:
    pages = {
        "first page": SessionQuery(),
        "page in the middle": SessionQuery(after=SessionQuery().cursor(("ad-50000", _created(50_000)))),
        "search with many results": SessionQuery(q="lamp"),
        "search with one result": SessionQuery(q="ad-31415"),
        "search without results": SessionQuery(q="nothing like that"),
        "one state": SessionQuery(state="partial"),
        "most expensive": SessionQuery(sort="-cost"),
    }
    for name, query in pages.items():
        _print_p95(name, lambda query=query: index.page(query))  # type: ignore[misc]


def _print_p95(name: str, call: Callable[[], object]) -> None:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    p50, p95 = statistics.median(times) * 1000, statistics.quantiles(times, n=20)[-1] * 1000
    print(f"{name:<26} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms")


def _measure_building(folder: Path, count: int) -> None:
    storage = Storage(f"{folder}/many")
    for _ in _sessions(Records(storage), count):
        pass
    storage._files = SlowDisk(storage.fs)
    # An object store checks its marker less often than a disk.
    storage.is_local = False
    index = SessionIndex(Records(storage), folder / "other-cache")
    cpu, begun = time.process_time(), time.perf_counter()
    index.update()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    print(f"{count:,} sessions read in {seconds:.0f} s at {DELAY * 1000:.0f} ms per request, {cpu:.0f} s of CPU time,")
    print(f"{SlowDisk.requests / count:.1f} requests for each; {index.page(SessionQuery()).total:,} are listed")


def _sessions(records: Records, count: int) -> Iterator[str]:
    """Store sessions with four clips each: the first one by its records, the others as copies of its files."""
    records.save_session(make_session(session_id="ad-000000"))
    save_job(records, Job(job_id="job-000000", session_id="ad-000000", scenarios=list(Scenario), created_at=NOW))
    for scenario in Scenario:
        records.save_take(_take(scenario))
    yield "ad-000000"
    root = Path(records.storage.root)
    files = {path: path.read_bytes() for path in root.rglob("*000000*/**/*.json")} | {
        path: path.read_bytes() for path in (root / "jobs").iterdir()
    }
    for number in range(1, count):
        for path, content in files.items():
            copy = Path(str(path).replace("000000", f"{number:06}"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content.replace(b"000000", f"{number:06}".encode()))
        yield f"ad-{number:06}"


def _take(scenario: Scenario) -> Take:
    return make_take(AttemptState.STORED, scenario=scenario, session_id="ad-000000", job_id="job-000000")


def _created(number: int) -> int:
    return int((NOW + timedelta(minutes=number)).timestamp() * 1_000_000)


def _copy(row: SessionRow, number: int) -> SessionRow:
    session_id, job_id = f"ad-{number:05}", f"job-{number:05}"
    assert row.summary  # noqa: S101 - it was readable
    at = NOW + timedelta(minutes=number)
    state = (State.COMPLETED, State.COMPLETED, State.COMPLETED, State.PARTIAL, State.FAILED)[number % 5]
    name = f"{PRODUCTS[number % len(PRODUCTS)]} {number}"
    campaign = f"campaign-{number // 10_000}"
    changes = {"session_id": session_id, "product_name": name, "created_at": at, "updated_at": at, "state": state}
    return replace(
        row,
        session_id=session_id,
        summary=row.summary.model_copy(update={**changes, "campaign": campaign, "cost": number % 100 / 10}),
        jobs={job_id: (campaign, row.jobs["job-000000"][1])},
        ads=[
            AdRow(
                campaign=campaign,
                rank=RANKS[state],
                session_id=session_id,
                product_name=name,
                created_at=microseconds(at),
                updated_at=microseconds(at),
                estimated=400_000,
                billed=number % 100 * 100_000,
                unknown_bills=0,
                error="Runware says invalidProviderContent: the scene was refused" if state == State.FAILED else "",
            )
        ],
        scenes=[each._replace(session_id=session_id, job_id=job_id, campaign=campaign) for each in row.scenes],
    )


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.nice(5)
    main()
