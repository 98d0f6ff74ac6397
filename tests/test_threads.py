"""The threads of `asyncio.to_thread` on the loop of a run's tasks."""

import asyncio
import subprocess
import sys
import threading

import pytest

from adreel.purchase.download import MAX_DOWNLOADS
from adreel.records.threads import THREADS, TRANSFERS, DaemonThreadPool, transfer

LEFT_BEHIND = """
import asyncio, threading
from adreel.records.threads import DaemonThreadPool, transfer

async def main():
    asyncio.get_running_loop().set_default_executor(DaemonThreadPool(0.1))
    started = threading.Event()
    upload = asyncio.create_task(asyncio.to_thread(lambda: (started.set(), threading.Event().wait())))
    await asyncio.to_thread(started.wait)
    upload.cancel()
    started.clear()
    upload = asyncio.create_task(transfer(lambda: (started.set(), threading.Event().wait())))
    await asyncio.to_thread(started.wait)
    upload.cancel()

asyncio.run(main())
"""


async def test_results_and_errors_come_back() -> None:
    asyncio.get_running_loop().set_default_executor(DaemonThreadPool(1))
    assert await asyncio.to_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(divmod, 7, 0)


async def test_many_calls_share_a_limited_number_of_threads() -> None:
    asyncio.get_running_loop().set_default_executor(DaemonThreadPool(1))
    used = await asyncio.gather(*(asyncio.to_thread(threading.get_ident) for _ in range(10 * THREADS)))
    assert len(set(used)) <= THREADS


async def test_as_many_calls_as_there_are_threads_wait_side_by_side() -> None:
    asyncio.get_running_loop().set_default_executor(DaemonThreadPool(1))
    barrier = threading.Barrier(THREADS)
    places = await asyncio.gather(*(asyncio.to_thread(barrier.wait, 60) for _ in range(THREADS)))
    assert sorted(places) == list(range(THREADS))


async def test_calls_one_after_the_other_share_a_thread() -> None:
    asyncio.get_running_loop().set_default_executor(DaemonThreadPool(1))
    used = {await asyncio.to_thread(threading.get_ident)}
    for _ in range(20):
        # A thread counts as idle a moment after its call has returned.
        await asyncio.sleep(0.01)
        used.add(await asyncio.to_thread(threading.get_ident))
    assert len(used) < 10


async def test_deliveries_leave_threads_for_records() -> None:
    assert THREADS >= 2 * MAX_DOWNLOADS


async def test_transfers_leave_all_threads_to_records() -> None:
    asyncio.get_running_loop().set_default_executor(DaemonThreadPool(1, 1))
    going_on = threading.Event()

    def upload() -> int:
        assert going_on.wait(60)
        return threading.get_ident()

    uploads = [asyncio.create_task(transfer(upload)) for _ in range(3 * TRANSFERS)]
    await asyncio.to_thread(going_on.set)
    assert len(set(await asyncio.gather(*uploads))) <= TRANSFERS


def test_a_short_call_that_was_cancelled_is_still_finished() -> None:
    written = threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(DaemonThreadPool(30))
        entered, leave = threading.Event(), threading.Event()

        def write() -> None:
            entered.set()
            leave.wait(30)
            written.set()

        call = asyncio.create_task(asyncio.to_thread(write))
        await asyncio.to_thread(entered.wait)
        call.cancel()
        leave.set()

    asyncio.run(main())
    assert written.is_set()


def test_a_call_that_never_returns_does_not_hold_the_process() -> None:
    # Python's own pool would wait for the call at exit.
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
