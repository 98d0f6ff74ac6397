"""Spend by group, from the index."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from adreel.errors import InputError
from adreel.index import read_spend
from adreel.models.spend_groups import Group
from adreel.models.spend_reports import SpendReport
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import IndexDep
from adreel.web.openapi import answers

router = APIRouter(prefix="/api/spend", tags=["spend"])

Day = Annotated[date | None, Query(description="UTC day of an order, included", examples=["2026-11-01"])]


@router.get("", responses=answers(503))
async def get_spend(
    index: IndexDep,
    by: Annotated[Group, Query(description="What each row sums up")] = Group.CAMPAIGN,
    since: Day = None,
    until: Day = None,
) -> SpendReport:
    """Sum up what was estimated and billed, unknown bills, and takes that no ad uses. The rows are in order of name."""
    if since and until and since > until:
        reason = f"{since} is after {until}: exchange them"
        raise InputError(reason, {"since": reason})
    return await run_in_threadpool(read_spend, index, by, since, until)
