"""Measures the index of sessions: lists, pages and metrics of many sessions, and a fresh server on a slow store.

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

from adreel.index import SessionIndex, SessionQuery, list_campaigns, read_campaign, read_spend
from adreel.index.queries import microseconds
from adreel.index.reading import RANKS, AdRow, SessionRow, read_session
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.spend_groups import Group
from adreel.models.takes import AttemptState, Job, Take
from adreel.records import Records
from adreel.storage import Storage
from adreel.web.metrics import Metrics
from benchmarks.index_server import measure_fresh_server, measure_pages
from tests.factories import NOW, make_session, make_take, save_job

ROUNDS = 200
FIRST = "ad-000000"
"""The session that has records; the others are in the index only."""
PRODUCTS = ("Lamp", "Tent", "Bottle", "Backpack", "Headphones", "Kettle", "Chair", "Jacket")


def main() -> None:
    """Measure and print."""
    listed = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    built = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        # The servers find the indexes of this process there.
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        place = f"{folder}/one"
        index = _fill_index(Records(Storage(place)), listed)
        _measure_lists(index)
        _print_p95("campaigns", lambda: list_campaigns(index))
        _print_p95("one of 10,000 ads", lambda: read_campaign(index, "campaign-0"))
        _print_p95("spend by day", lambda: read_spend(index, Group.DAY), rounds=20)
        metrics = Metrics(index)
        while b"adreel_jobs{" not in metrics.text():
            time.sleep(0.1)
        _print_p95("/metrics", metrics.text)
        index.database.close()
        measure_pages(place, FIRST)
        print(f"memory: {_memory():.0f} MB at most")
        many = Records(Storage(f"{folder}/many"))
        for _ in _sessions(many, built):
            pass
        measure_fresh_server(many.storage.root, built)
        print(f"memory: {_memory():.0f} MB at most")


def _fill_index(records: Records, count: int) -> SessionIndex:
    """Store a session, and return an index with it and copies of its rows."""
    for session in _sessions(records, 1):
        template = read_session(records, session)
    index = SessionIndex(records)
    index.update()
    before, begun = _memory(), time.perf_counter()
    for start in range(1, count, 1000):
        index._store(_copy(template, number) for number in range(start, min(start + 1000, count)))
    index.is_followed = True
    path = index.database.path
    assert path  # noqa: S101 - the folder can be written
    size = sum(each.stat().st_size for each in path.parent.iterdir()) / 1e6
    print(f"{count:,} sessions, stored in {time.perf_counter() - begun:.0f} s, {size:.0f} MB")
    print(f"memory: {_memory():.0f} MB, {before:.0f} MB of them before")
    return index


def _measure_lists(index: SessionIndex) -> None:
    pages = {
        "first page": SessionQuery(),
        "page in the middle": SessionQuery(after=SessionQuery().cursor(("ad-050000", _created(50_000)))),
        "search with many results": SessionQuery(q="lamp"),
        "search with one result": SessionQuery(q="ad-031415"),
        "search without results": SessionQuery(q="nothing like that"),
        "one state": SessionQuery(state="partial"),
        "most expensive": SessionQuery(sort="-cost"),
    }
    for name, query in pages.items():
        _print_p95(name, lambda query=query: index.page(query))  # type: ignore[misc]


def _print_p95(name: str, call: Callable[[], object], rounds: int = ROUNDS) -> None:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    p50, p95 = statistics.median(times) * 1000, statistics.quantiles(times, n=20)[-1] * 1000
    print(f"{name:<26} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms")


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
    session_id, job_id = f"ad-{number:06}", f"job-{number:06}"
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
                product=session_id,
                variant="",
                poster="",
            )
        ],
        scenes=[each._replace(session_id=session_id, job_id=job_id, campaign=campaign) for each in row.scenes],
        takes=[
            each._replace(session_id=session_id, job_id=job_id, campaign=campaign, day=str(at.date()))
            for each in row.takes
        ],
    )


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.nice(5)
    main()
