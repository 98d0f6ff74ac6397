"""The arithmetic of budgets. Each change of a budget record is made whole, or refused and not made at all."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adreel.errors import OverBudget
from adreel.models.budget_modes import BudgetMode
from adreel.models.spend import (
    MAX_COST,
    Account,
    Budget,
    BudgetRecord,
    Holds,
    OpenHold,
    counts_for,
    period_of,
    show_usd,
    usd_rounded_up,
)
from adreel.models.spend_totals import Spend
from adreel.spend.notices import Reached

THRESHOLDS = (70, 90, 100)
"""Percentages of a budget of which people are told."""


@dataclass(frozen=True)
class PricedTask:
    """A task that is to be sent; `price` in micro-dollars, None if it is unknown."""

    uuid: str
    scene: str
    price: int | None


@dataclass(frozen=True)
class Order:
    """Tasks that are admitted together or not at all."""

    session: str
    job: str
    tasks: tuple[PricedTask, ...]
    campaign: str | None = None
    request: str | None = None
    """Name of the request's hold that these tasks take over."""
    key: str = ""
    """For the hold of a request: the idempotency key of its run."""
    max_cost: int | None = None
    spent: Mapping[str, int] = field(default_factory=dict)
    """With `max_cost`: what the job's earlier tasks have cost, by taskUUID."""


@dataclass(frozen=True)
class Admission:
    """The holds of admitted tasks; None if no budget counts them."""

    holds: Holds | None
    crossed: tuple[tuple[str, int], ...] = ()
    """Budgets that have passed a threshold by it, with the percentage."""


@dataclass(frozen=True)
class Settlement:
    """What a task has cost in micro-dollars, None if that is unknown, and the mark that it was sent under."""

    uuid: str
    cost: int | None
    mark: str
    estimate: int = 0


@dataclass(frozen=True)
class Release:
    """Marks under which a task will never be sent."""

    uuid: str
    marks: frozenset[str]


class Accounts:
    """A budget record that changes by orders."""

    def __init__(self, record: BudgetRecord) -> None:
        self.record = record
        self.is_changed = False
        self._held: Counter[tuple[str, str]] = Counter()
        for hold in record.open.values():
            self._count(hold, hold.amount)

    def held(self, name: str, period: str) -> int:
        """Return what the open holds keep of a budget in a period."""
        return self._held[name, period]

    def used(self, name: str, period: str) -> int:
        """Return what is spent and held of a budget in a period."""
        account = self.record.budgets[name].accounts.get(period)
        return (account.spent if account else 0) + self.held(name, period)

    def admit(self, order: Order, mark: str, now: datetime) -> Admission:
        """Hold the money of all tasks of an order, or raise OverBudget."""
        counting = [name for name in self.record.budgets if counts_for(name, order.session, order.campaign)]
        periods = {name: period_of(name, now) for name in counting}
        replaced = self.record.open.get(order.request) if order.request else None
        if not periods and order.max_cost is None and replaced is None:
            return Admission(None)
        new = [task for task in order.tasks if task.uuid not in self.record.open]
        self._refuse_if_over(order, new, periods, replaced)
        if replaced is not None and order.request:
            self._remove(order.request)
        for task in order.tasks:
            if task in new:
                hold = OpenHold(
                    holds=[mark],
                    amount=task.price or 0,
                    budgets=periods,
                    session=order.session,
                    campaign=order.campaign,
                    job=order.job,
                    scene=task.scene,
                    key=order.key,
                    at=now,
                )
                self.add(task.uuid, hold)
            elif mark not in (marks := self.record.open[task.uuid].holds):
                marks.append(mark)
                self.is_changed = True
        holds = Holds(mark=mark, tasks=frozenset(task.uuid for task in order.tasks))
        return Admission(holds, tuple(self._crossed(periods)))

    def _refuse_if_over(
        self, order: Order, new: list[PricedTask], periods: dict[str, str], replaced: OpenHold | None
    ) -> None:
        limits: dict[str, tuple[int, int]] = {}
        for name, period in periods.items():
            if self.is_enforced(name, period):
                # A request that waited over midnight holds money of another day.
                freed = replaced.amount if replaced is not None and replaced.budgets.get(name) == period else 0
                limits[name] = self.record.budgets[name].cap, self.used(name, period) - freed
        if order.max_cost is not None:
            earlier = sum(cost for uuid, cost in order.spent.items() if uuid not in self.record.open)
            held = sum(hold.amount for hold in self.record.open.values() if hold.job and hold.job == order.job)
            limits[MAX_COST] = order.max_cost, earlier + held
        for name, (cap, used) in limits.items():
            if new:
                _check_limit(name, cap, used, new)

    def is_enforced(self, name: str, period: str) -> bool:
        """Whether a budget refuses purchases. A new one does so once it has counted what was spent before."""
        budget = self.record.budgets[name]
        account = budget.accounts.get(period)
        return budget.mode == BudgetMode.CAP and not (account and account.counting is not None)

    def settle(self, settlements: Iterable[Settlement]) -> int:
        """Count what tasks have cost, and end their holds; returns the number of counted tasks."""
        counted = 0
        for each in settlements:
            hold = self.record.open.get(each.uuid)
            if hold is None:
                continue
            self._remove(each.uuid)
            # A hold without the mark of the send is that of another runner, which came after the settlement.
            if each.mark not in hold.holds:
                continue
            counted += 1
            cost = hold.amount if each.cost is None else each.cost
            for name, period in hold.budgets.items():
                if name in self.record.budgets:
                    self._account(name, period, each.uuid, cost, is_known=each.cost is not None)
        return counted

    def release(self, releases: Iterable[Release]) -> int:
        """End the holds of marks that will not send; returns the number of tasks without a hold now."""
        freed = 0
        for each in releases:
            hold = self.record.open.get(each.uuid)
            if hold is None or not each.marks & set(hold.holds):
                continue
            self.is_changed = True
            hold.holds = [mark for mark in hold.holds if mark not in each.marks]
            if not hold.holds:
                self._remove(each.uuid)
                freed += 1
        return freed

    def set_budget(self, name: str, cap: int, mode: BudgetMode, now: datetime) -> bool:
        """Add or change a budget; returns whether it still has to count what was spent before."""
        self.is_changed = True
        period = period_of(name, now)
        if (budget := self.record.budgets.get(name)) is None:
            budget = self.record.budgets[name] = Budget(cap=cap, accounts={period: Account(counting=[])})
            for hold in self.record.open.values():
                if counts_for(name, hold.session, hold.campaign):
                    hold.budgets[name] = period
                    self._held[name, period] += hold.amount
        budget.cap, budget.mode = cap, mode
        for past, account in budget.accounts.items():
            account.told = [percent for percent in account.told if percent * cap <= self.used(name, past) * 100]
        return budget.accounts.get(period, Account()).counting is not None

    def count_earlier(
        self,
        name: str,
        period: str,
        settled: Iterable[Settlement],
        sent: Mapping[str, OpenHold],
        pruned: Iterable[Spend] = (),
    ) -> None:
        """Add what a new budget's scope has spent before it was set, and what is still open of that."""
        budget = self.record.budgets.get(name)
        account = budget.accounts.get(period) if budget else None
        if account is None or account.counting is None:
            return
        known = {*self.record.open, *account.counting}
        for each in settled:
            if each.uuid not in known:
                cost = each.estimate if each.cost is None else each.cost
                self._account(name, period, each.uuid, cost, is_known=each.cost is not None)
        for spend in pruned:
            # Unknown bills count with their estimates, which the sum does not tell apart.
            account.spent += max(spend.billed, spend.estimated) if spend.unknown else spend.billed
            account.settled += spend.takes
            account.unknown += spend.unknown
        for uuid, hold in sent.items():
            if uuid not in known:
                self.add(uuid, hold.model_copy(update={"budgets": {name: period}}))
        account.counting = None
        self.is_changed = True

    def remove_budget(self, name: str) -> bool:
        """Remove a budget; returns whether there was one."""
        if self.record.budgets.pop(name, None) is None:
            return False
        self.is_changed = True
        for hold in self.record.open.values():
            hold.budgets.pop(name, None)
        return True

    def add(self, uuid: str, hold: OpenHold) -> None:
        """Add a hold, whatever is left."""
        hold.budgets = dict(hold.budgets)
        self.record.open[uuid] = hold
        self._count(hold, hold.amount)
        self.is_changed = True
        for name, period in hold.budgets.items():
            accounts = self.record.budgets[name].accounts
            if period not in accounts:
                accounts[period] = Account()
                self._forget_past_periods(name, period)

    def _remove(self, uuid: str) -> None:
        hold = self.record.open.pop(uuid)
        self._count(hold, -hold.amount)
        self.is_changed = True

    def _account(self, name: str, period: str, uuid: str, cost: int, *, is_known: bool) -> None:
        account = self.record.budgets[name].accounts.setdefault(period, Account())
        account.spent += cost
        account.settled += 1
        account.unknown += not is_known
        if account.counting is not None:
            account.counting.append(uuid)

    def _count(self, hold: OpenHold, amount: int) -> None:
        for name, period in hold.budgets.items():
            self._held[name, period] += amount

    def _forget_past_periods(self, name: str, period: str) -> None:
        accounts = self.record.budgets[name].accounts
        for past in [each for each in accounts if each != period and not self.held(name, each)]:
            del accounts[past]

    def refuse(self, name: str, now: datetime) -> Reached | None:
        """Note that a budget has refused an order; returns the notice of the first refusal in a period."""
        budget, period = self.record.budgets.get(name), period_of(name, now)
        if budget is None or 100 in budget.accounts.get(period, Account()).told:
            return None
        budget.accounts.setdefault(period, Account()).told.append(100)
        self._forget_past_periods(name, period)
        self.is_changed = True
        return self.notice(name, 100, now)

    def notice(self, name: str, percent: int, now: datetime) -> Reached:
        """Return the notice of a threshold."""
        budget, period = self.record.budgets[name], period_of(name, now)
        spent = budget.accounts.get(period, Account()).spent
        return Reached(name, period, percent, budget.cap, spent, self.held(name, period))

    def _crossed(self, periods: dict[str, str]) -> Iterator[tuple[str, int]]:
        for name, period in periods.items():
            budget, used = self.record.budgets[name], self.used(name, period)
            account = budget.accounts.get(period)
            for percent in THRESHOLDS:
                if account and percent not in account.told and percent * budget.cap <= used * 100:
                    account.told.append(percent)
                    self.is_changed = True
                    yield name, percent


def refuse_unknown(clips: Sequence[str], *, budget: str, left: int) -> None:
    """Raise OverBudget if there are clips whose price is unknown: unknown is never free."""
    if clips:
        raise OverBudget(
            f"the price of {', '.join(clips)} is unknown, and {_label_of(budget)} needs one: nothing was sent. Give the"
            " USD of such a clip with --price (clip_price in Python, HTTP and Prefect), or choose a model with a price",
            left=left,
            budget=budget,
            commands=["--price USD"],
        )


def _check_limit(name: str, cap: int, used: int, tasks: list[PricedTask]) -> None:
    left = max(0, cap - used)
    refuse_unknown([task.scene for task in tasks if task.price is None], budget=name, left=left)
    needed = sum(task.price or 0 for task in tasks)
    if used + needed <= cap:
        return
    enough = usd_rounded_up(used + needed)
    command = f"--max-cost {enough}" if name == MAX_COST else f"adreel budget set {shlex.quote(name)} {enough}"
    raise OverBudget(
        f"{show_usd(needed)} is needed, and {_label_of(name)} has {show_usd(left)} left of {show_usd(cap)}: nothing was"
        f" sent. With {command} it would go through",
        needed=needed,
        left=left,
        budget=name,
        enough=used + needed,
        commands=[command],
    )


def _label_of(budget: str) -> str:
    return "--max-cost" if budget == MAX_COST else f"budget {budget}"
