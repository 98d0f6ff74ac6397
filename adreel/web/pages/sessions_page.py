"""The list of ads: search, filters and orders in the address, and one row for each ad."""

from collections import Counter
from dataclasses import replace
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from adreel.models.api import SessionSummary, State
from adreel.models.scenarios import Scenario
from adreel.models.session_states import LISTED_STATES
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import FiltersQuery, IndexDep, SessionFilters
from adreel.web.pages.rendering import PageRoute, page, templates

PER_PAGE = 25
SORTS = {"-created": "Newest first", "-updated": "Last changed first", "-cost": "Most expensive first", "id": "By id"}
ONLY_IF_ANY = {"unreadable"}
"""States that are offered only while an ad is in them."""

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
async def sessions(request: Request, index: IndexDep, filters: FiltersQuery) -> Response:
    """Show the ads, the newest first."""
    found = await run_in_threadpool(index.page, replace(filters.query(), limit=PER_PAGE))
    offered = [state for state in LISTED_STATES if state not in ONLY_IF_ANY or found.states.get(state)]
    states = [("", sum(found.states.values())), *((state, found.states.get(state, 0)) for state in offered)]
    return page(
        request,
        "sessions.html",
        found=found,
        filters=filters,
        is_filtered=bool(filters.q or filters.state or filters.campaign),
        query=f"{query}&" if (query := query_of(filters)) else "",
        states=[(state, count, f"/?{query_of(filters, state=state or None)}".rstrip("?")) for state, count in states],
        sorts=SORTS,
        scenarios=list(Scenario),
    )


def query_of(filters: SessionFilters, **changes: str | None) -> str:
    """Return the query of the list's first page, with some filters changed."""
    chosen = filters.model_copy(update=changes).model_dump(include={"q", "state", "campaign", "sort"})
    return urlencode({name: value for name, value in chosen.items() if value and (name, value) != ("sort", "-created")})


def clip_counts(session: SessionSummary) -> str:
    """Return how many scenes are in each state: "3 clips, 1 failed"."""
    counts = Counter(video.status for video in session.scene_videos)
    clips = counts.pop(State.COMPLETED, 0)
    parts = [f"{clips} {'clip' if clips == 1 else 'clips'}"] if clips else []
    return ", ".join([*parts, *(f"{counts[state]} {state}" for state in State if counts[state])])


templates.filters.update(clip_counts=clip_counts)
