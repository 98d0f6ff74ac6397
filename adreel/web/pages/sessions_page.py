"""The list of ads: search, filters and orders in the address, and one row for each ad."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from adreel.errors import NotFound, SessionDeleted, StorageError
from adreel.models.api import SessionSummary, State
from adreel.models.scenarios import Scenario
from adreel.models.session_states import LISTED_STATES
from adreel.models.sessions import ID_PATTERN
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.service import Service
from adreel.web.dependencies import FiltersQuery, IndexDep, ServiceDep, SessionFilters
from adreel.web.pages.rendering import PageRoute, page, templates

PER_PAGE = 25
SORTS = {"-created": "Newest first", "-updated": "Last changed first", "-cost": "Most expensive first", "id": "By id"}
ONLY_IF_ANY = {"archived", "unreadable"}
"""States that are offered only while an ad is in them."""

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
async def sessions(request: Request, index: IndexDep, filters: FiltersQuery, service: ServiceDep) -> Response:
    """Show the ads, the newest first."""
    found = await run_in_threadpool(index.page, replace(filters.query(), limit=PER_PAGE))
    shown = {filters.state, *found.states, *LISTED_STATES} - (ONLY_IF_ANY - {filters.state, *found.states})
    counts = {state: found.states.get(state, 0) for state in LISTED_STATES if state in shown}
    states = [("", sum(counts.values()) - counts.get("archived", 0)), *counts.items()]
    return page(
        request,
        "sessions.html",
        found=found,
        filters=filters,
        is_filtered=bool(filters.q or filters.state or filters.campaign),
        query=f"{query}&" if (query := query_of(filters)) else "",
        here=query_of(filters, {"after", "before"}),
        said=await run_in_threadpool(read_notice, request, service),
        states=[(state, count, f"/?{query_of(filters, state=state or None)}".rstrip("?")) for state, count in states],
        sorts=SORTS,
        scenarios=list(Scenario),
    )


@dataclass(frozen=True)
class Notice:
    """An action on an ad, which the list tells of."""

    session_id: str
    product_name: str
    state: str
    """archived, restored or deleted"""


def read_notice(request: Request, service: Service) -> Notice | None:
    """Return the notice of an ad that was archived, restored or deleted, unless that is undone."""
    said, session_id = (request.query_params.get(name, "") for name in ("said", "ad"))
    if said not in {"archived", "restored", "deleted"} or not re.fullmatch(ID_PATTERN, session_id):
        return None
    try:
        session = service.session(session_id)
    except SessionDeleted:
        return Notice(session_id, session_id, said) if said == "deleted" else None
    except (NotFound, StorageError):
        return None
    state = "archived" if session.archived_at else "restored"
    return Notice(session_id, session.product_name, state) if state == said else None


def query_of(filters: SessionFilters, cursors: Collection[str] = (), /, **changes: str | None) -> str:
    """Return the query of the list's first page, with some filters changed; with `cursors`, of this page."""
    names = {"q", "state", "campaign", "sort", *cursors}
    chosen = filters.model_copy(update=changes).model_dump(include=names)
    return urlencode({name: value for name, value in chosen.items() if value and (name, value) != ("sort", "-created")})


def clip_counts(session: SessionSummary) -> str:
    """Return how many scenes are in each state: "3 clips, 1 failed"."""
    counts = Counter(video.status for video in session.scene_videos)
    clips = counts.pop(State.COMPLETED, 0)
    parts = [f"{clips} {'clip' if clips == 1 else 'clips'}"] if clips else []
    return ", ".join([*parts, *(f"{counts[state]} {state}" for state in State if counts[state])])


templates.filters.update(clip_counts=clip_counts)
