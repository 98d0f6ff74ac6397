"""Measures reservations under a cap: many at once from several processes, and one alone.

Usage: python -m benchmarks.budgets [--reservations 2000] [--processes 8] [--local]

The storage is an S3 server on this machine (moto, in a process of its own), or with --local a disk. Each reservation is
a job with one task. The cap pays for half of them, and exactly half must be admitted.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from typing import Any

from adreel.errors import OverBudget
from adreel.records import Records
from adreel.spend.accounts import Order, PricedTask
from adreel.spend.budgets import Budgets
from adreel.storage import Storage
from tests.storage.servers import S3Server

PRICE = 50_000
Place = tuple[str, dict[str, Any]]


def open_records(place: Place) -> Records:
    """Open the records of a storage."""
    return Records(Storage(*place))


def reserve(place: Place, first: int, count: int, start: Barrier, admitted: "multiprocessing.Queue[int]") -> None:
    """Reserve for some jobs at the same time, and report how many were admitted."""
    records = open_records(place)
    records.budgets()

    def admit(number: int) -> bool:
        task = PricedTask(f"task-{number}", "hook", PRICE)
        try:
            Budgets(records).reserve(Order("ad", f"job-{number}", (task,)))
        except OverBudget:
            return False
        return True

    with ThreadPoolExecutor(count) as threads:
        start.wait()
        admitted.put(sum(threads.map(admit, range(first, first + count))))


def measure(place: Place, reservations: int, processes: int) -> dict[str, Any]:
    """Measure one reservation alone, then all of them at once."""
    Budgets(open_records(place)).set("all", (reservations // 2 + 1) * PRICE)
    began = time.perf_counter()
    Budgets(open_records(place)).reserve(Order("ad", "alone", (PricedTask("alone", "hook", PRICE),)))
    alone = time.perf_counter() - began
    context = multiprocessing.get_context("spawn")
    start, admitted = context.Barrier(processes + 1), context.Queue()
    each = reservations // processes
    workers = [
        context.Process(target=reserve, args=(place, number * each, each, start, admitted))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    total = sum(admitted.get() for _ in workers)
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    [view] = Budgets(open_records(place)).views()
    if (total, view.left, view.over) != (reservations // 2, 0, 0):
        raise RuntimeError(f"{total} reservations were admitted, and {view.left} micro-dollars are left")
    return {"alone_seconds": round(alone, 3), "seconds": round(seconds, 2), "admitted": total}


def _serve(pipe: Any) -> None:
    with S3Server() as server:
        pipe.send((server.bucket(), server.options))
        pipe.recv()
        pipe.send(sum(request.startswith("PUT") for request in server.requests))


@contextmanager
def s3() -> Iterator[tuple[Place, Any]]:
    """Serve S3 in a process of its own; yields the place of a bucket, and the pipe that asks for the number of puts."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    server.start()
    try:
        yield ours.recv(), ours
    finally:
        server.terminate()
        server.join()


def main() -> int:
    """Measure and print the result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budgets", description=__doc__)
    parser.add_argument("--reservations", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--local", action="store_true", help="a local disk in place of S3")
    options = parser.parse_args()
    if options.local:
        with tempfile.TemporaryDirectory() as folder:
            found = measure((folder, {}), options.reservations, options.processes)
    else:
        with s3() as (place, pipe):
            found = measure(place, options.reservations, options.processes)
            pipe.send("stop")
            found["puts"] = pipe.recv()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
