"""Prices, budgets and holds, as they are recorded. Sums of money are integer micro-dollars.

A hold keeps money of every budget in its scope for one task, from before the task's record says `submitted` until the
task's cost is known.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Literal, overload
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, Field

from adreel.models.budget_modes import BudgetMode
from adreel.models.ids import derived_uuid
from adreel.models.record import Record

MICROS = 1_000_000
"""Micro-dollars of a dollar."""
CENT = MICROS // 100
MAX_COST = "max_cost"
"""Name of the limit of one purchase, in place of a budget's."""
BUDGET_PATTERN = r"day|month|all|campaign:.{1,200}|session:[A-Za-z0-9_-]{1,64}"
OVER_BUDGET = "OverBudget"
"""Name of the final state of a run that a budget has refused or stopped."""
UNMARKED = ""
"""Mark of the tasks that were sent without a hold, before any budget was set."""


class Price(BaseModel, extra="allow", frozen=True):
    """What a request costs, in micro-dollars; null if that is unknown, which is never free."""

    amount: int | None = Field(ge=0)
    source: Literal["billed", "listed", "given", "unknown", "emulator"]
    as_of: date | None = Field(None, description="Date of the rates or of the bill")


class Account(BaseModel, extra="allow"):
    """What a budget has spent in one period."""

    spent: int = Field(0, ge=0)
    settled: int = Field(0, ge=0, description="Number of tasks in `spent`")
    unknown: int = Field(0, ge=0, description="Number of those whose cost is unknown; they count with their estimate")
    told: list[int] = Field(default_factory=list, description="Thresholds that people were told of, in percent")
    counting: list[str] | None = Field(None, description="Tasks settled while a new budget counts earlier spend")


class Budget(BaseModel, extra="allow"):
    """A limit on spend, with an account for each period: a UTC day such as 2026-11-25, a month, or `all`."""

    cap: int = Field(ge=0)
    mode: BudgetMode = BudgetMode.CAP
    accounts: dict[str, Account] = Field(default_factory=dict)


class OpenHold(BaseModel, extra="allow"):
    """Money kept for one task, or for a request whose run has not started yet."""

    holds: list[str] = Field(description="Marks of the runners that may send the task; it ends with its last mark")
    amount: int = Field(ge=0)
    budgets: dict[str, str] = Field(default_factory=dict, description="Budgets it counts for, with the period of each")
    session: str
    campaign: str | None = None
    job: str = Field("", description="Empty for the hold of a request")
    scene: str = ""
    key: str = Field("", description="For the hold of a request: the idempotency key of its run")
    at: AwareDatetime


class Holds(BaseModel, frozen=True):
    """The tasks that one runner of a job may send under its mark."""

    mark: str
    tasks: frozenset[str]


class BudgetRecord(Record):
    """All budgets and open holds of a storage: an ad is admitted by one conditional update."""

    budgets: dict[str, Budget] = Field(default_factory=dict)
    open: dict[str, OpenHold] = Field(default_factory=dict, description="By taskUUID, or by the name of a request")


def is_budget_name(name: str) -> bool:
    """Whether it names a budget: day, month, all, campaign:NAME or session:ID."""
    return re.fullmatch(BUDGET_PATTERN, name) is not None


def counts_for(budget: str, session: str | None, campaign: str | None) -> bool:
    """Whether a budget counts what is bought for a session in a campaign."""
    kind, _, name = budget.partition(":")
    return {"campaign": name == campaign, "session": name == session}.get(kind, True)


def period_of(budget: str, at: datetime) -> str:
    """Return the period of a budget at a moment."""
    formats = {"day": "%Y-%m-%d", "month": "%Y-%m"}
    return at.astimezone(UTC).strftime(formats[budget]) if budget in formats else "all"


def new_mark() -> str:
    """Return a mark for a runner."""
    return uuid4().hex[:8]


def request_hold(key: str) -> str:
    """Return the name of the hold of a request with an idempotency key."""
    return f"request-{derived_uuid(key)}"


@overload
def to_micros(usd: float) -> int: ...
@overload
def to_micros(usd: None) -> None: ...
def to_micros(usd: float | None) -> int | None:
    """Return USD as micro-dollars; None for an unknown amount."""
    return None if usd is None else round(usd * MICROS)


@overload
def to_usd(amount: int) -> float: ...
@overload
def to_usd(amount: None) -> None: ...
def to_usd(amount: int | None) -> float | None:
    """Return micro-dollars as USD; None for an unknown amount."""
    return None if amount is None else amount / MICROS


def sum_usd(amounts: Sequence[float | None]) -> float | None:
    """Return the sum of amounts in USD, without errors of rounding; None if one of them is unknown."""
    known = [to_micros(amount) for amount in amounts if amount is not None]
    return to_usd(sum(known)) if len(known) == len(amounts) else None


def exact_usd(amount: int) -> str:
    """Return micro-dollars in USD with cents, and with more digits if there are some: 0.0525, 12.00."""
    whole, cents = f"{amount / MICROS:.6f}".rstrip("0").split(".")
    return f"{whole}.{cents:<02}"


def show_usd(amount: int) -> str:
    """Return micro-dollars as messages show them: USD 0.0525, USD 12.00."""
    return f"USD {exact_usd(amount)}"


def usd_rounded_up(amount: int) -> str:
    """Return micro-dollars in USD, rounded up to cents."""
    return f"{-(-amount // CENT) * CENT / MICROS:.2f}"


def readable_usd(usd: float) -> str:
    """Return USD in dollars and cents: 0.42. Less than a cent has two significant digits: 0.0011."""
    amount = abs(to_micros(usd))
    if not 0 < amount < CENT:
        return f"{usd:.2f}"
    return f"{usd:.{8 - len(str(amount))}f}".rstrip("0")


def money(usd: float | None) -> str:
    """Return USD for people: $0.42, and $0.0011 for less than a cent."""
    return "unknown" if usd is None else f"${readable_usd(usd)}"


def show_cost(usd: float | None, billed: float) -> str:
    """Return a cost in USD for people. Without it, the bills that are known so far are the least."""
    if usd is not None:
        return money(usd)
    # Rounded down: a least sum must not exceed the true one.
    amount = to_micros(billed)
    step = min(CENT, 10 ** max(0, len(str(amount)) - 2))
    return f"at least {money(to_usd(amount // step * step))}" if amount else "not known yet"
