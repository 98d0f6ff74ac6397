"""The pages of campaigns: how far each one is, and its ads, failed ones first."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from adreel.errors import NotFound, PrefectUnreachable, StorageUnavailable
from adreel.index import SessionIndex, list_campaigns, read_campaign, read_grid, without_ads
from adreel.index.reading import RANKS
from adreel.models.api import State
from adreel.models.campaigns import Campaign, CampaignGrid, CampaignPage, CampaignSummary
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.suggestions import without_commands
from adreel.service import CampaignService, reason_of
from adreel.spend.budgets import Budgets
from adreel.web.dependencies import CampaignName, CampaignsDep, Cursor, IndexDep, ServiceDep
from adreel.web.pages.rendering import PageRoute, page

CAMPAIGNS_PER_PAGE = 20
PRODUCTS_PER_PAGE, ADS_PER_PAGE = 12, 48


class CampaignRoute(PageRoute):
    """A route whose missing campaigns are named as such."""

    missing = "There is no such campaign."


router = APIRouter(prefix="/campaigns", include_in_schema=False, route_class=CampaignRoute)

After = Annotated[Cursor, Query()]
ChosenState = Annotated[State | None, Query()]


@router.get("")
async def show_campaigns(request: Request, index: IndexDep, service: ServiceDep, after: After = None) -> Response:
    """Show the campaigns, the last one that was started first."""
    names = [] if after else await run_in_threadpool(service.records.campaign_names)
    found = await run_in_threadpool(list_campaigns, index, limit=CAMPAIGNS_PER_PAGE, after=after)
    query = f"?{urlencode({'after': after})}" if after else ""
    return page(
        request,
        "campaigns.html",
        found=found,
        waiting=await run_in_threadpool(without_ads, index, names) if names else [],
        is_running=any(State.GENERATING in campaign.states for campaign in found.campaigns),
        order=list(RANKS),
        after=after,
        address=f"/campaigns{query}",
    )


@router.get("/{name}")
async def show_campaign(
    name: CampaignName,
    request: Request,
    index: IndexDep,
    service: ServiceDep,
    campaigns: CampaignsDep,
    *,
    state: ChosenState = None,
    after: After = None,
) -> Response:
    """Show a campaign: its products in their variants, or its ads in one state."""
    record = await run_in_threadpool(service.records.campaign, name)
    try:
        shown = await run_in_threadpool(_read_ads, index, name, state, after)
    except (NotFound, StorageUnavailable):
        if record is None:
            raise
        shown = _not_started(record)
    path = f"/campaigns/{name}"
    chosen = {key: value for key, value in (("state", state), ("after", after)) if value}
    return page(
        request,
        "campaign.html",
        path=path,
        address=f"{path}?{urlencode(chosen)}" if chosen else path,
        shown=shown,
        is_grid=isinstance(shown, CampaignGrid),
        campaign=shown.campaign,
        state=state,
        after=after,
        total=record.ads if record else 0,
        run=await _read_run(campaigns, name) if record else None,
        order=list(RANKS),
        budgets=await run_in_threadpool(Budgets(service.records).views_of, None, name),
    )


def _read_ads(index: SessionIndex, name: str, state: State | None, after: str | None) -> CampaignGrid | CampaignPage:
    """Return products in variants, or else ads: those in a state, or of a campaign without variants."""
    grid = None if state else read_grid(index, name, limit=PRODUCTS_PER_PAGE, after=after)
    return grid or read_campaign(index, name, state=state, limit=ADS_PER_PAGE, after=after)


def _not_started(campaign: Campaign) -> CampaignPage:
    """Return the page of a campaign that has started no ad yet."""
    at = campaign.created_at
    summary = CampaignSummary(
        name=campaign.name,
        ads=0,
        states={},
        estimated=0,
        billed=0,
        unknown_bills=0,
        started_at=at,
        updated_at=at,
    )
    return CampaignPage(campaign=summary, ads=[], next=None)


@dataclass(frozen=True)
class CampaignRun:
    """The last run of a campaign."""

    is_active: bool
    is_waiting: bool
    """Whether no worker has begun it."""
    reason: str = ""
    """Why it has ended without all clips."""


async def _read_run(campaigns: CampaignService, name: str) -> CampaignRun | None:
    """Return the last run of a campaign; None if there is none, or if Prefect can't be asked."""
    try:
        run = await campaigns.run_of(name)
    except PrefectUnreachable:
        return None
    if run is None:
        return None
    is_done = run.state in {"Completed", "Cancelled"}
    reason = "" if is_done or not run.is_final else without_commands(reason_of(run)).splitlines()[0]
    return CampaignRun(not run.is_final, run.state in {"Scheduled", "Late", "Pending"}, reason)
