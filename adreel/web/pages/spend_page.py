"""The page of spend: by campaign, day, ad, model or scene, beside what each budget has left."""

import io
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, field_validator

from adreel.errors import BadRecord, InputError
from adreel.index import SessionIndex, read_product_names, read_report
from adreel.models.spend_groups import Group
from adreel.models.spend_reports import NO_CAMPAIGN, PRUNED, Line, Lines, Report
from adreel.models.takes import utc_now
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.spend.budgets import Budgets, BudgetView
from adreel.web.dependencies import IndexDep, ServiceDep
from adreel.web.pages.rendering import NAMES, PageRoute, page

MAX_ROWS = 100
GROUPS = {
    Group.CAMPAIGN: "Campaign",
    Group.DAY: "Day",
    Group.SESSION: "Ad",
    Group.MODEL: "Model",
    Group.SCENE: "Scene",
}
MODES = {"cap": "refuses what is over it", "warn": "warns only", "observe": "counts only"}

router = APIRouter(include_in_schema=False, route_class=PageRoute)


class SpendFilters(BaseModel):
    """Query parameters of the page."""

    by: Group = Group.CAMPAIGN
    since: date | None = None
    until: date | None = None

    @field_validator("since", "until", mode="before")
    @classmethod
    def _empty_is_missing(cls, value: object) -> object:
        # Browsers send the empty fields of a form too.
        return value or None

    def query(self, **changes: object) -> str:
        """Return the query of the page, with some parameters changed."""
        given = self.model_dump(mode="json") | changes
        return urlencode({name: str(value) for name, value in given.items() if value})

    def check(self) -> None:
        """Raise InputError for a period that ends before it begins."""
        if self.since and self.until and self.since > self.until:
            raise InputError("The period ends before it begins: exchange the two days.")


Filters = Annotated[SpendFilters, Query()]


@dataclass(frozen=True)
class Row:
    """A line of the table; `share` is its part of the largest bill, in percent."""

    name: str
    link: str
    line: Line
    share: float


@dataclass(frozen=True)
class Period:
    """A period that the page offers."""

    label: str
    query: str
    is_chosen: bool


@router.get("/spend")
async def show_spend(request: Request, index: IndexDep, service: ServiceDep, filters: Filters) -> Response:
    """Show what was spent in a period."""
    report, problem, status = Report(filters.by), "", 200
    try:
        filters.check()
        report = await run_in_threadpool(read_report, index, filters.by, filters.since, filters.until)
    except InputError as error:
        problem, status = str(error), 422
    budgets: list[BudgetView] = []
    try:
        budgets = await run_in_threadpool(Budgets(service.records).views)
        budgets.sort(key=lambda budget: (":" in budget.name, budget.name))
    except BadRecord:
        problem = problem or "The budgets can't be read. See the server's log."
    return page(
        request,
        "spend.html",
        status,
        filters=filters,
        groups=GROUPS,
        heading=GROUPS[filters.by],
        periods=periods(filters, utc_now().date()),
        report=report,
        tables={"money": _rows(index, filters, report.money), "emulator": _rows(index, filters, report.emulator)},
        problem=problem,
        notice=index.notice,
        budgets=budgets,
        heading_of=budget_heading,
        modes=MODES,
    )


@router.get("/spend.csv")
async def download_spend(index: IndexDep, filters: Filters) -> Response:
    """Return the whole table as CSV, as the command line prints it."""
    filters.check()
    report = await run_in_threadpool(read_report, index, filters.by, filters.since, filters.until)
    file = io.StringIO()
    report.write_csv(file)
    name = f"spend-by-{filters.by}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(file.getvalue(), media_type="text/csv", headers=headers)


def budget_heading(name: str) -> str:
    """Return the heading of a budget."""
    kind, _, of = name.partition(":")
    scopes = {"day": "Today", "month": "This month", "campaign": f"Campaign {of}", "session": f"Ad {of}"}
    return scopes.get(kind, "All ads")


def periods(filters: SpendFilters, today: date) -> list[Period]:
    """Return the periods that the page offers, in UTC days."""
    first = today.replace(day=1)
    last_of_previous = first - timedelta(days=1)
    offered: dict[str, tuple[date | None, date | None]] = {
        "All time": (None, None),
        "This month": (first, None),
        "Last month": (last_of_previous.replace(day=1), last_of_previous),
        "Last 30 days": (today - timedelta(days=29), None),
    }
    return [
        Period(label, filters.query(since=since, until=until), (filters.since, filters.until) == (since, until))
        for label, (since, until) in offered.items()
    ]


def _rows(index: SessionIndex, filters: SpendFilters, lines: Lines) -> list[Row]:
    if filters.by == Group.DAY:
        found = sorted(lines.by_name.items(), reverse=True)[:MAX_ROWS]
    else:
        found = sorted(lines.by_name.items(), key=lambda item: (-item[1].billed, item[0]))[:MAX_ROWS]
    most = max((line.billed for _, line in found), default=0)
    labels = {NO_CAMPAIGN: "No campaign"} if filters.by == Group.CAMPAIGN else {}
    if filters.by == Group.SCENE:
        labels = {scenario.value: label for scenario, label in NAMES.items()}
    elif filters.by == Group.SESSION:
        labels = read_product_names(index, [name for name, _ in found]) | {PRUNED: "Removed takes"}
    return [
        Row(labels.get(name, name), _link(filters, name), line, 100 * line.billed / most if most else 0)
        for name, line in found
    ]


def _link(filters: SpendFilters, name: str) -> str:
    """Return the page about a line; empty if there is none."""
    match filters.by:
        case Group.SESSION if name != PRUNED:
            return f"/sessions/{name}"
        case Group.CAMPAIGN if name != NO_CAMPAIGN:
            return f"/campaigns/{quote(name)}"
        case Group.DAY:
            return f"/spend?{filters.query(by=Group.SESSION.value, since=name, until=name)}"
    return ""
