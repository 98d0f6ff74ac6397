"""All sessions with the posters of their clips, and the form of a new session."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from adreel.models.scenarios import Scenario
from adreel.models.sessions import ID_PATTERN
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import ServiceDep, scoped_key
from adreel.web.pages.forms import (
    DESCRIPTION,
    DETAILS,
    FORM_ERRORS,
    PRODUCT,
    SCENE,
    Fields,
    FormState,
    label_of,
    new_token,
    session_of,
    wait_if_in_flight,
    with_errors,
)
from adreel.web.pages.rendering import PageRoute, page

PER_PAGE = 12

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
async def sessions(
    request: Request, service: ServiceDep, after: Annotated[str | None, Query(pattern=ID_PATTERN)] = None
) -> Response:
    """Show the sessions, by their ids."""
    found = await run_in_threadpool(service.list_sessions, PER_PAGE, after)
    return page(request, "sessions.html", found=found, after=after, scenarios=list(Scenario))


@router.get("/new")
async def new(request: Request) -> Response:
    """Show the form of a new session."""
    product = {each.name: "" for each in PRODUCT}
    scenes = {f"{scenario}.{each.name}": "" for scenario in Scenario for each in SCENE}
    durations = {f"{scenario}.duration": "5" for scenario in Scenario}
    return _form(request, FormState(product | scenes | durations))


@router.post("/new")
async def create(request: Request, service: ServiceDep, fields: Fields) -> Response:
    """Store a new session and redirect to it, or show the form with its errors."""
    try:
        new_session, key = session_of(fields), scoped_key(request, fields.get("token") or None)
        created = await wait_if_in_flight(lambda: run_in_threadpool(service.create_session, new_session, key=key))
    except FORM_ERRORS as error:
        return _form(request, with_errors(fields, error))
    return RedirectResponse(f"/sessions/{created.session_id}", 303)


def _form(request: Request, form: FormState) -> Response:
    return page(
        request,
        "new.html",
        form.status,
        form=form,
        product=PRODUCT,
        description=DESCRIPTION,
        details=DETAILS,
        scenarios=list(Scenario),
        token=new_token(),
        label_of=label_of,
    )
