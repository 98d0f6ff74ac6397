"""All sessions with the posters of their clips, and the form for a new one."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from adreel.models.api import SessionCreate, SessionDetails, SessionSummary
from adreel.models.scenarios import Scenario
from adreel.models.sessions import ID_PATTERN
from adreel.web.backend import Served
from adreel.web.idempotency import scoped_key
from adreel.web.pages.forms import (
    DETAILS,
    PRODUCT,
    SCENE,
    SEEN,
    WRONG,
    Entered,
    Fields,
    first_answer,
    label_of,
    new_token,
    refused,
    session_of,
)
from adreel.web.pages.rendering import PageRoute, page
from adreel.web.routes.sessions import create_session, list_sessions
from adreel.web.threads import run_in_threadpool

PER_PAGE = 12

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
async def sessions(
    request: Request, backend: Served, after: Annotated[str | None, Query(pattern=ID_PATTERN)] = None
) -> Response:
    """Show the sessions, by their ids."""
    found = await run_in_threadpool(list_sessions, backend, PER_PAGE, after)
    return page(request, "sessions.html", found=found, after=after, cells=_cells)


@router.get("/new")
async def new(request: Request) -> Response:
    """Show the form of a new session."""
    empty = {each.name: "" for each in PRODUCT}
    scenes = {f"{scenario}.{each.name}": "" for scenario in Scenario for each in SCENE}
    lengths = {f"{scenario}.duration": "5" for scenario in Scenario}
    return _form(request, Entered(empty | scenes | lengths))


@router.post("/new")
async def create(request: Request, backend: Served, fields: Fields) -> Response:
    """Store a new session and show it, or the form with what is wrong."""

    async def store(asked: SessionCreate, key: str | None) -> SessionDetails:
        return await run_in_threadpool(create_session, asked, backend, key, Response())

    try:
        asked, key = session_of(fields), scoped_key(request, fields.get("token") or None)
        made = await first_answer(lambda: store(asked, key))
    except WRONG as error:
        return _form(request, refused(fields, error))
    return RedirectResponse(f"/sessions/{made.session_id}", 303)


def _form(request: Request, entered: Entered) -> Response:
    return page(
        request,
        "new.html",
        entered.status,
        entered=entered,
        product=PRODUCT,
        seen=SEEN,
        details=DETAILS,
        scenarios=list(Scenario),
        token=new_token(),
        label_of=label_of,
    )


def _cells(summary: SessionSummary) -> list[tuple[Scenario, str | None, str]]:
    """Return scene, poster and state of each cell of a session's strip."""
    videos = {video.scenario: video for video in summary.scene_videos}
    return [
        (scenario, videos[scenario].poster_url, str(videos[scenario].status))
        if scenario in videos
        else (scenario, None, "")
        for scenario in Scenario
    ]
