"""The money of a job: held before anything is sent, and again before each further attempt."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from adreel.errors import AdreelError, OverBudget
from adreel.models.spend import UNMARKED, Holds, new_mark, request_hold, to_micros
from adreel.models.takes import Job, Take
from adreel.records import Records
from adreel.spend.accounts import Order, PricedTask
from adreel.spend.budgets import Budgets, spent_on


def hold_job(
    records: Records,
    job: Job,
    takes: list[Take],
    attempts_allowed: int,
    *,
    request: str | None = None,
    mark: str | None = None,
) -> Holds | None:
    """Hold the money of each scene that a run would send next; None if no budget counts them.

    Raises OverBudget if it is not enough for all of them. A job with open clips still goes on to download these: each
    of its unsent scenes asks again. `request` is the idempotency key under which the money may be held already. A
    runner that tries again gives the same `mark`.
    """
    tasks = [(take, task) for take in takes if (task := take.unsent_task(attempts_allowed))]
    try:
        return Budgets(records).reserve(_order(job, takes, tasks, request), mark).holds
    except OverBudget:
        if not any(take.is_open for take in takes):
            raise
        return Holds(mark=new_mark(), tasks=frozenset())


@contextmanager
def released_on_error(records: Records, holds: Holds | None) -> Iterator[None]:
    """Release new holds if the block fails for good: no runner learns their mark."""
    try:
        yield
    except AdreelError as error:
        # After a retryable error the block may have succeeded, and the next try must not find the money gone.
        if holds is not None and not error.retryable:
            with suppress(AdreelError):
                Budgets(records).release(holds)
        raise


def hold_attempt(records: Records, job: Job, take: Take) -> str | None:
    """Return the mark under which the planned attempt of a take may be sent. Holds its money if it is not held yet."""
    task = take.attempts[-1].uuid
    if job.holds is None and len(take.attempts) == 1 and UNMARKED not in take.released:
        return None  # No budget counted this task when the job was started.
    if job.holds is not None and str(task) in job.holds.tasks and job.holds.mark not in take.released:
        return job.holds.mark
    takes = [take]
    if job.max_cost is not None:
        others = [scenario for scenario in job.scenarios if scenario != take.scenario]
        takes += [other for each in others if (other := records.take(job.session_id, each, job.job_id))]
    # Under the mark of its runner, the end of the job finds a hold whose task was never sent.
    mark = job.holds.mark if job.holds is not None and job.holds.mark not in take.released else None
    holds = Budgets(records).reserve(_order(job, takes, [(take, task)]), mark).holds
    # Without budgets a released task needs a new mark too.
    return holds.mark if holds else new_mark() if UNMARKED in take.released else None


def _order(job: Job, takes: list[Take], tasks: list[tuple[Take, UUID]], request: str | None = None) -> Order:
    return Order(
        session=job.session_id,
        job=job.job_id,
        tasks=tuple(
            PricedTask(str(task), take.scenario, job.clip_price if take.estimate is None else to_micros(take.estimate))
            for take, task in tasks
        ),
        campaign=job.campaign,
        request=request_hold(request) if request else None,
        max_cost=job.max_cost,
        spent=spent_on(takes) if job.max_cost is not None else {},
    )
