"""The balance at Runware beside what a job is expected to cost. It warns and prevents nothing: prices are estimates."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextvars import copy_context

from adreel.errors import AdreelError
from adreel.models.spend import show_usd, to_micros
from adreel.models.takes import Job, TaskRequest
from adreel.purchase.shared_client import shared_client
from adreel.records import Records
from adreel.settings import Settings
from adreel.spend.prices import price
from adreel.storage import Storage


def warn_of_balance(settings: Settings, expected: Callable[[], int], warn: Callable[[str], None]) -> None:
    """Warn if the account has less than what is expected to be billed, in micro-dollars. Without a key, do nothing.

    The account is asked in a thread of its own, so that no order waits for it. An error is left to the order itself.
    """

    async def ask() -> float:
        async with shared_client(settings) as client:
            return await client.balance()

    def run() -> None:
        try:
            needed = expected()
            balance = to_micros(asyncio.run(ask())) if needed else 0
        except AdreelError:
            return
        if balance < needed:
            warn(
                f"the account at Runware has {show_usd(balance)}, and {show_usd(needed)} is expected to be billed: add"
                " credits, or scenes stay open until then"
            )

    if not settings.is_local:
        threading.Thread(target=copy_context().run, args=(run,), name="adreel-balance", daemon=True).start()


def sum_prices(requests: Iterable[TaskRequest], storage: Storage) -> int:
    """Return the sum of the known prices of requests in micro-dollars."""
    return sum(price(request, storage).amount or 0 for request in requests)


def expected_cost(records: Records, settings: Settings, jobs: Iterable[Job]) -> int:
    """Return what the unsent scenes of jobs are expected to cost in micro-dollars, unknown prices left out."""
    takes = (
        (job, take)
        for job in jobs
        for scenario in job.scenarios
        if (take := records.take(job.session_id, scenario, job.job_id)) and take.price
    )
    return sum(
        take.price.amount or 0 for job, take in takes if take.price and take.unsent_task(settings.attempts * job.rounds)
    )
