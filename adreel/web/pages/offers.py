"""Offers: the prices of the clips that a button buys, their usual time, and why the order would be refused."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from adreel.errors import OverBudget, StorageUnavailable
from adreel.index import SessionIndex, usual_seconds
from adreel.models.budget_modes import BudgetMode
from adreel.models.spend import CENT, MAX_COST, Price, money, usd_rounded_up
from adreel.models.takes import TaskRequest
from adreel.spend.budgets import BudgetView

Clip = tuple[TaskRequest | None, Price]
"""A clip to buy; its request is None if it can't be planned."""


@dataclass(frozen=True)
class Offer:
    """The clips that a button buys. `wait` is the usual time of the slowest in seconds, None without own clips."""

    prices: list[Price] = field(default_factory=list)
    wait: float | None = None
    refusal: str = ""
    """Why the order would be refused at present."""


class Offers:
    """Makes the offers of one page. `budgets` are those of its ad; `is_local` says whether the emulator renders."""

    def __init__(self, index: SessionIndex, budgets: Sequence[BudgetView], *, is_local: bool) -> None:
        self._index, self._is_local = index, is_local
        self._budgets = [each for each in budgets if each.mode == BudgetMode.CAP and not each.is_counting]
        self._waits: dict[tuple[str, float], float | None] = {}
        self.short: list[str] = []
        """Names of the budgets that have too little left for an offer."""

    def of(self, clips: Sequence[Clip], *, needs_money: bool = True) -> Offer:
        """Return the offer of these clips, which are rendered at the same time.

        An order that downloads a clip as well does not need the money beforehand.
        """
        waits = [self.wait(request) for request, _ in clips]
        known = [wait for wait in waits if wait is not None]
        prices = [price for _, price in clips]
        refusal = self._refusal(prices) if needs_money and clips else ""
        return Offer(prices, max(known) if known and len(known) == len(waits) else None, refusal)

    def wait(self, request: TaskRequest | None) -> float | None:
        """Return the usual time of a clip in seconds, None without own clips of its model and length."""
        if request is None:
            return None
        kind = (request.model, request.duration or 0)
        if kind not in self._waits:
            self._waits[kind] = None
            # It is no reason to show no page.
            with suppress(StorageUnavailable):
                self._waits[kind] = usual_seconds(self._index, *kind, is_local=self._is_local)
        return self._waits[kind]

    def _refusal(self, prices: list[Price]) -> str:
        needed = None if any(price.amount is None for price in prices) else sum(price.amount or 0 for price in prices)
        for budget in self._budgets:
            if needed is None or needed > budget.left:
                if budget.name not in self.short:
                    self.short.append(budget.name)
                return _refusal(needed, budget.name, budget.left)
        return ""


def refusal_words(error: OverBudget) -> str:
    """Return a refusal in words of the pages, with the way out."""
    return f"{_refusal(error.needed, error.budget, error.left)} Nothing was bought. {way_out([error.budget])}"


def way_out(budgets: Sequence[str]) -> str:
    """Return what a person can do about budgets that have too little left."""
    if not budgets:
        return ""
    if budgets[0] == MAX_COST:
        return "Enter a higher limit, or choose a cheaper model or shorter clips."
    later = [words for name, words in _RENEWED.items() if name in budgets]
    steps = ", ".join(["ask the person who manages the budgets here to raise it", *later])
    return f"To go on, {steps}, or choose a cheaper model or shorter clips."


def budget_label(name: str) -> str:
    """Return the name of a budget in words."""
    kind, _, of = name.partition(":")
    labels = {
        "day": "today's budget",
        "month": "this month's budget",
        "session": "the budget of this ad",
        "campaign": f"the budget of campaign {of}",
        MAX_COST: "your limit",
    }
    return labels.get(kind, "the budget for all ads")


_RENEWED = {"day": "wait for the next day (00:00 UTC)", "month": "wait for the next month (UTC)"}


def _refusal(needed: int | None, budget: str, left: int) -> str:
    label = budget_label(budget)
    if needed is None:
        return f"The price of a clip is unknown, and {label} needs one."
    # Rounded so that what is needed is never shown as enough.
    return f"Needs ${usd_rounded_up(needed)}; {label} has {money(left // CENT / 100)} left."


def wait_label(seconds: float) -> str:
    """Return a time as people say it: "50 s", "2 min", "1 h 5 min"."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
