"""Campaigns: their progress, failures and costs, from the index."""

from typing import Annotated

from fastapi import APIRouter, Query

from adreel.index import list_campaigns, read_campaign
from adreel.models.api import State
from adreel.models.campaigns import CampaignList, CampaignPage
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import CampaignName, Cursor, IndexDep
from adreel.web.openapi import answers

router = APIRouter(prefix="/api/campaigns", tags=["campaigns"])

Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[Cursor, Query(description="`next` of a page, for the one that follows")]


@router.get("", responses=answers(503))
async def get_campaigns(index: IndexDep, limit: Limit = 20, after: After = None) -> CampaignList:
    """List the campaigns, the last one that was started first."""
    return await run_in_threadpool(list_campaigns, index, limit=limit, after=after)


@router.get("/{name}", responses=answers(404, 503))
async def get_campaign(
    name: CampaignName,
    index: IndexDep,
    state: Annotated[State | None, Query(description="Only ads in this state")] = None,
    limit: Limit = 20,
    after: After = None,
) -> CampaignPage:
    """Return the progress and the cost of a campaign, and its ads: failed ones first."""
    return await run_in_threadpool(read_campaign, index, name, state=state, limit=limit, after=after)
