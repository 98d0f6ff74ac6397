"""Budgets: admit purchases before anything is sent, and account for them once their cost is known.

    reserve     one conditional update holds the money of all scenes of an ad, or refuses them all
    send        the record of the attempt names the mark of its hold, and is durable before the request is sent
    settle      when the job ends: the hold becomes the cost that was reported; an unsent task's hold is released
    reconcile   the same for all open holds, from the records alone: any process may do it, at any time

Each runner has a mark of its own. So a task that two runners hold is counted once, by the mark that it was sent under.
A hold is released only after its mark was forbidden in the take's record: a runner that wakes up later can't send.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, time

from adreel.errors import AdreelError, InputError, NotFound, OverBudget, collect_errors
from adreel.models.budget_modes import BudgetMode
from adreel.models.parts import find_part
from adreel.models.spend import (
    UNMARKED,
    Account,
    Holds,
    OpenHold,
    counts_for,
    is_budget_name,
    new_mark,
    period_of,
    request_hold,
    to_micros,
)
from adreel.models.takes import SUBMIT_DEADLINE, Attempt, Job, Take, utc_now
from adreel.records import Records
from adreel.records.spend import take_key
from adreel.spend.accounts import Accounts, Admission, Order, Release, Settlement
from adreel.spend.group_commit import GroupCommit
from adreel.spend.notices import Reached, notify

READERS = 16
UNLIMITED = 10**6
_commits: dict[str, GroupCommit] = {}


@dataclass(frozen=True)
class BudgetView:
    """A budget in its present period. Sums are micro-dollars."""

    name: str
    mode: BudgetMode
    period: str
    cap: int
    spent: int
    held: int
    left: int
    over: int
    """By how much spent and held exceed the cap: bills above their estimates, or a budget that refuses nothing."""
    settled: int
    unknown: int
    is_counting: bool
    """Whether it does not refuse purchases yet, because it still counts what was spent before it was set."""


@dataclass(frozen=True)
class Reconciled:
    """Numbers of holds that became a cost, that were released, and that stay open."""

    settled: int
    released: int
    open: int


class Budgets:
    """The budgets of a storage."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._commit = _commits.setdefault(records.storage.identity, GroupCommit())

    def reserve(self, order: Order, mark: str | None = None) -> Admission:
        """Hold the money of all tasks of an order under a mark, by default a new one, or raise OverBudget.

        Notices of thresholds are told once in a period, also if the process ends before it has told them.
        """
        mark, now = mark or new_mark(), utc_now()

        def admit(accounts: Accounts) -> tuple[Admission | OverBudget, list[Reached]]:
            try:
                admission = accounts.admit(order, mark, now)
            except OverBudget as refusal:
                refused = accounts.refuse(refusal.budget, now)
                return refusal, [refused] if refused else []
            return admission, [accounts.notice(name, percent, now) for name, percent in admission.crossed]

        # A refusal is noted in the same commit: many refused orders would queue for a second one.
        admission, notices = self._commit.run(self._records, admit)
        notify(notices)
        if isinstance(admission, OverBudget):
            raise admission
        return admission

    def release(self, holds: Holds) -> None:
        """Release holds whose mark no runner knows."""
        marks = frozenset([holds.mark])
        self._apply([], [Release(task, marks) for task in sorted(holds.tasks)])

    def release_request(self, key: str, mark: str | None = None) -> None:
        """Release the hold of a request that no run's job takes over, by default under all its marks."""
        name = request_hold(key)

        def release(accounts: Accounts) -> int:
            hold = accounts.record.open.get(name)
            marks = frozenset([mark] if mark else hold.holds if hold else [])
            return accounts.release([Release(name, marks)])

        self._commit.run(self._records, release)

    def settle(self, job: Job) -> None:
        """Account for the finished tasks of a job at its end, and release what its runner has not sent."""
        if job.holds is None:
            return
        mark, settlements, unsent = job.holds.mark, list[Settlement](), dict[str, Take]()
        for scenario in job.scenarios:
            take = self._records.take(job.session_id, scenario, job.job_id)
            if take is None:
                continue
            settlements += settlements_of(take)
            if task := take.unsent_task(UNLIMITED):
                unsent[str(task)] = take
        if unsent.keys() - job.holds.tasks:
            # A further attempt may have been held after the start of the job, and not sent.
            held = {uuid for uuid, hold in self._records.budgets().open.items() if mark in hold.holds}
        else:
            held = set(job.holds.tasks)
        releases = [
            Release(uuid, frozenset([mark]))
            for uuid, take in unsent.items()
            if uuid in held and self._forbid(take, [mark])
        ]
        self._apply(settlements, releases)

    def reconcile(
        self,
        request_is_over: Callable[[str], bool] | None = None,
        broken: list[AdreelError] | None = None,
        *,
        jobs: Collection[str] | None = None,
    ) -> Reconciled:
        """Settle and release every open hold, or those of some jobs, whose take or job has ended.

        `request_is_over` tells by its idempotency key whether the run of a request is over or unknown to Prefect.
        Unreadable records are added to `broken`, and their holds stay. Without a list, they raise.
        """
        record = self._records.budgets()
        holds = [(uuid, hold) for uuid, hold in record.open.items() if jobs is None or hold.job in jobs]
        found = self._records.map(lambda item: self._examine(*item, request_is_over), holds, broken)
        settlements = [each for each in found if isinstance(each, Settlement)]
        releases = [each for each in found if isinstance(each, Release)]
        for name, budget in record.budgets.items() if jobs is None else ():
            for period, account in budget.accounts.items():
                if account.counting is not None:
                    self._count_earlier(name, period, broken)
        settled, released = self._apply(settlements, releases)
        return Reconciled(settled, released, len(holds) - settled - released)

    def set(self, name: str, cap: int, mode: BudgetMode = BudgetMode.CAP) -> None:
        """Add or change a budget. A new one counts what its scope has spent in this period, and what is open of it."""
        if not is_budget_name(name):
            raise InputError(f"no budget is named {name!r}: use day, month, all, campaign:NAME or session:ID")
        storage = self._records.storage
        if mode == BudgetMode.CAP and not storage.is_atomic:
            raise InputError(
                f"budget {name}: mode cap needs conditional updates, and {storage.url} has none: use --mode warn, or a"
                " storage on a local disk, S3, Google Cloud Storage or Azure"
            )
        now = utc_now()
        if self._commit.run(self._records, lambda accounts: accounts.set_budget(name, cap, mode, now)):
            self._count_earlier(name, period_of(name, now))

    def remove(self, name: str) -> None:
        """Remove a budget, or raise NotFound."""
        if not self._commit.run(self._records, lambda accounts: accounts.remove_budget(name)):
            raise NotFound(f"no budget {name!r}: see `adreel budget`")

    def views(self) -> list[BudgetView]:
        """Return all budgets in their present periods, by name."""
        record, now = self._records.budgets(), utc_now()
        accounts = Accounts(record)
        views = []
        for name, budget in sorted(record.budgets.items()):
            period = period_of(name, now)
            account, held = budget.accounts.get(period, Account()), accounts.held(name, period)
            left = budget.cap - account.spent - held
            views.append(
                BudgetView(
                    name,
                    budget.mode,
                    period,
                    budget.cap,
                    account.spent,
                    held,
                    max(0, left),
                    max(0, -left),
                    account.settled,
                    account.unknown,
                    account.counting is not None,
                )
            )
        return views

    def views_of(self, session: str | None, campaign: str | None) -> list[BudgetView]:
        """Return the budgets that count what is bought for a session in a campaign."""
        return [view for view in self.views() if counts_for(view.name, session, campaign)]

    def _apply(self, settlements: list[Settlement], releases: list[Release]) -> tuple[int, int]:
        if not settlements and not releases:
            return 0, 0
        return self._commit.run(
            self._records, lambda accounts: (accounts.settle(settlements), accounts.release(releases))
        )

    def _examine(
        self, uuid: str, hold: OpenHold, request_is_over: Callable[[str], bool] | None
    ) -> Settlement | Release | None:
        """Return what became of a held task; None if it may still be sent or billed."""
        job = self._records.job(hold.job) if hold.job else None
        if job is not None:
            return self._examine_task(uuid, hold, job)
        is_over = hold.job or (request_is_over is not None and request_is_over(hold.key))
        return Release(uuid, frozenset(hold.holds)) if is_over and utc_now() - hold.at > SUBMIT_DEADLINE else None

    def _examine_task(self, uuid: str, hold: OpenHold, job: Job) -> Settlement | Release | None:
        part, release = find_part(hold.scene), Release(uuid, frozenset(hold.holds))
        take = self._records.take(hold.session, part, hold.job)
        if take is None:
            if part not in job.scenarios:
                return Settlement(uuid, None, hold.holds[0])  # Its take was pruned after it had ended.
            return release if job.ended_at is not None and utc_now() - hold.at > SUBMIT_DEADLINE else None
        attempt = next((attempt for attempt in take.attempts if str(attempt.uuid) == uuid), None)
        if attempt is not None and (attempt.is_open or attempt.is_final or attempt.is_in_doubt):
            return _settlement(take, attempt)
        if take.is_stored or (job.ended_at is not None and self._forbid(take, hold.holds)):
            return release
        return None

    def _forbid(self, take: Take, marks: Iterable[str]) -> bool:
        """Forbid in the take's record to send its next task under some marks; whether that is certain."""
        wanted = set(marks)
        stored = self._records.release_take(take, sorted(wanted))
        # Another runner may have sent the task since the take was read.
        return stored is not None and wanted <= set(stored.released)

    def _count_earlier(self, name: str, period: str, broken: list[AdreelError] | None = None) -> None:
        kind, _, value = name.partition(":")
        session_ids = [value] if kind == "session" else self._records.session_ids()

        def read(session_id: str) -> list[Take]:
            with collect_errors(broken):
                return [take for takes in self._records.takes_by_part(session_id).values() for take in takes]
            return []

        pruned = self._records.pruned_spend()
        removed = [
            spend
            for spend in pruned.every
            if counts_for(name, None, spend.campaign)
            and period_of(name, datetime.combine(spend.day, time(), UTC)) == period
        ]
        settled: list[Settlement] = []
        sent: dict[str, OpenHold] = {}
        with ThreadPoolExecutor(READERS) as threads:
            for takes in threads.map(read, session_ids):
                for take in takes:
                    if not counts_for(name, take.session_id, take.campaign) or take_key(take) in pruned.removing:
                        continue
                    settled += settlements_of(take, name, period)
                    sent |= self._open_tasks(take)
        self._commit.run(self._records, lambda accounts: accounts.count_earlier(name, period, settled, sent, removed))

    def _open_tasks(self, take: Take) -> Iterator[tuple[str, OpenHold]]:
        """Yield what a take may still be billed for, and may still send under the order of a running job."""
        may_be_billed = [attempt for attempt in take.attempts if attempt.is_open or attempt.is_in_doubt]
        marks = {str(attempt.uuid): attempt.hold or UNMARKED for attempt in may_be_billed}
        unsent = take.unsent_task(1)
        if unsent is not None:
            job = self._records.job(take.job_id)
            if job is not None and job.ended_at is None:
                marks[str(unsent)] = UNMARKED
        for uuid, mark in marks.items():
            yield (
                uuid,
                OpenHold(
                    holds=[mark],
                    amount=_estimate(take),
                    session=take.session_id,
                    campaign=take.campaign,
                    job=take.job_id,
                    scene=take.scenario,
                    at=take.created_at,
                ),
            )


def settlements_of(take: Take, budget: str = "all", period: str = "all") -> list[Settlement]:
    """Return the costs of a take's finished tasks that a budget counts in a period."""
    attempts = [attempt for attempt in take.attempts if period_of(budget, attempt.created_at) == period]
    return [each for attempt in attempts if attempt.is_final and (each := _settlement(take, attempt))]


def _settlement(take: Take, attempt: Attempt) -> Settlement | None:
    """Return what a task has cost; None if that is still to be seen."""
    mark, estimate = attempt.hold or UNMARKED, _estimate(take)
    if attempt.is_final:
        return Settlement(str(attempt.uuid), to_micros(take.cost_of(attempt)), mark, estimate)
    if attempt.is_in_doubt and utc_now() > attempt.doubt_ends_at:
        # A submit lasts minutes at most: its runner has died, and nobody knows whether the task was accepted.
        return Settlement(str(attempt.uuid), None, mark, estimate)
    return None


def spent_on(takes: Iterable[Take]) -> dict[str, int]:
    """Return what the finished tasks of takes have cost, by taskUUID; an unknown cost counts with its estimate."""
    settled = [each for take in takes for each in settlements_of(take)]
    return {each.uuid: each.estimate if each.cost is None else each.cost for each in settled}


def _estimate(take: Take) -> int:
    return (take.price.amount if take.price else None) or 0
