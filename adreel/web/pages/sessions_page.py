"""All sessions with the posters of their clips."""

from dataclasses import replace
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from adreel.models.scenarios import Scenario
from adreel.models.session_states import LISTED_STATES
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import FiltersQuery, IndexDep
from adreel.web.pages.rendering import PageRoute, page

PER_PAGE = 12
SORTS = {"-created": "Newest first", "-updated": "Last changed first", "-cost": "Most expensive first", "id": "By id"}

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
async def sessions(request: Request, index: IndexDep, filters: FiltersQuery) -> Response:
    """Show the sessions, the newest first."""
    found = await run_in_threadpool(index.page, replace(filters.query(), limit=PER_PAGE))
    chosen = filters.model_dump(include={"q", "state", "sort"}, exclude_defaults=True)
    return page(
        request,
        "sessions.html",
        found=found,
        filters=filters,
        is_filtered="q" in chosen or "state" in chosen,
        query=f"{urlencode(chosen)}&" if chosen else "",
        states=LISTED_STATES,
        sorts=SORTS,
        scenarios=list(Scenario),
    )
