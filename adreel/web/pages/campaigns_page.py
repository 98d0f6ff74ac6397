"""The pages of campaigns: how far each one is, and its ads, failed ones first."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from adreel.errors import NotFound
from adreel.index import SessionIndex, list_campaigns, read_campaign, read_grid
from adreel.index.reading import RANKS
from adreel.models.api import State
from adreel.models.campaigns import CampaignGrid, CampaignPage
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.spend.budgets import Budgets
from adreel.web.dependencies import CampaignName, Cursor, IndexDep, ServiceDep
from adreel.web.pages.rendering import PageRoute, page
from adreel.web.problems import HTTPProblem

CAMPAIGNS_PER_PAGE = 20
PRODUCTS_PER_PAGE, ADS_PER_PAGE = 12, 48

router = APIRouter(prefix="/campaigns", include_in_schema=False, route_class=PageRoute)

After = Annotated[Cursor, Query()]
ChosenState = Annotated[State | None, Query()]


@router.get("")
async def show_campaigns(request: Request, index: IndexDep, after: After = None) -> Response:
    """Show the campaigns, the last one that was started first."""
    found = await run_in_threadpool(list_campaigns, index, limit=CAMPAIGNS_PER_PAGE, after=after)
    query = f"?{urlencode({'after': after})}" if after else ""
    return page(
        request,
        "campaigns.html",
        found=found,
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
    *,
    state: ChosenState = None,
    after: After = None,
) -> Response:
    """Show a campaign: its products in their variants, or its ads in one state."""
    try:
        shown = await run_in_threadpool(_read_ads, index, name, state, after)
    except NotFound:
        raise HTTPProblem(404, "noCampaign", "There is no such campaign.") from None
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
        order=list(RANKS),
        budgets=await run_in_threadpool(Budgets(service.records).views_of, None, name),
    )


def _read_ads(index: SessionIndex, name: str, state: State | None, after: str | None) -> CampaignGrid | CampaignPage:
    """Return products in variants, or else ads: those in a state, or of a campaign without variants."""
    grid = None if state else read_grid(index, name, limit=PRODUCTS_PER_PAGE, after=after)
    return grid or read_campaign(index, name, state=state, limit=ADS_PER_PAGE, after=after)
