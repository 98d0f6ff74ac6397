"""Campaigns: start and continue them; their progress, failures and costs, from the index."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from adreel.index import list_campaigns, read_campaign
from adreel.models.api import State
from adreel.models.campaigns import CampaignCreate, CampaignList, CampaignPage, CampaignStarted
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import CampaignName, CampaignsDep, Cursor, IndexDep, ScopedKey
from adreel.web.openapi import COSTS, answers

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


@router.post("", status_code=202, responses=answers(*COSTS))
async def start_campaign(
    body: CampaignCreate, campaigns: CampaignsDep, key: ScopedKey, request: Request
) -> CampaignStarted:
    """Start a campaign: buy an ad of each product in each variant.

    An ad is a job of its own, which buys each clip once however often the campaign is started. It is 402 if a budget
    pays not even the first ad, or `max_cost` not all. Otherwise the campaign stops after the last ad that its budget
    pays. 409 if the name or an ad of it is taken, or if it is running.
    """
    run = await campaigns.start(body, created_by=request.state.caller.name, key=key)
    ads = len(body.products) * len(body.variants)
    message = f"Campaign {body.name} started: {ads} {'ad' if ads == 1 else 'ads'}"
    return CampaignStarted(success=True, message=message, name=body.name, ads=ads, job_id=run.run_id)


@router.post("/{name}/resume", status_code=202, responses=answers(404, *COSTS))
async def resume_campaign(name: CampaignName, campaigns: CampaignsDep, key: ScopedKey) -> CampaignStarted:
    """Continue a campaign that was started over HTTP: download open clips, and buy those that its ads lack."""
    run = await campaigns.resume(name, key=key)
    campaign = await run_in_threadpool(campaigns.campaign, name)
    message = f"Campaign {name} continues"
    return CampaignStarted(success=True, message=message, name=name, ads=campaign.ads, job_id=run.run_id)
