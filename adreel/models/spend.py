"""Prices, budgets and holds, as they are recorded. Sums of money are integer micro-dollars.

A hold keeps money of every budget in its scope for one task, from before the task's record says `submitted` until the
task's cost is known.
"""

import re
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from adreel.models.ids import derived_uuid
from adreel.models.record import Record

MICROS = 1_000_000
"""Micro-dollars of a dollar."""
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


class BudgetMode(StrEnum):
    """What a budget does with a purchase that it has no money for: count it, warn of it, or refuse it."""

    OBSERVE = "observe"
    WARN = "warn"
    CAP = "cap"


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


def period_of(budget: str, at: datetime) -> str:
    """Return the period of a budget at a moment."""
    formats = {"day": "%Y-%m-%d", "month": "%Y-%m"}
    return at.astimezone(UTC).strftime(formats[budget]) if budget in formats else "all"


def request_hold(key: str) -> str:
    """Return the name of the hold of a request with an idempotency key."""
    return f"request-{derived_uuid(key)}"


def to_micros(usd: float) -> int:
    """Return USD as micro-dollars."""
    return round(usd * MICROS)


def show_usd(amount: int) -> str:
    """Return micro-dollars as people read them: USD 0.0525, USD 12.00."""
    whole, cents = f"{amount / MICROS:.6f}".rstrip("0").split(".")
    return f"USD {whole}.{cents:<02}"
