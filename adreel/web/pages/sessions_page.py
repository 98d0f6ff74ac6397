"""All sessions with the posters of their clips, and the form of a new session."""

from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from adreel.models.scenarios import Scenario
from adreel.models.session_states import LISTED_STATES
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.service import Service
from adreel.web.dependencies import FiltersQuery, IndexDep, ServiceDep, scoped_key
from adreel.web.pages.forms import (
    DESCRIPTION,
    FORM_ERRORS,
    OPTIONS,
    PRODUCT,
    SCENE,
    WORDS,
    FormState,
    Upload,
    defaults_of,
    label_of,
    new_token,
    session_of,
    wait_if_in_flight,
    with_errors,
)
from adreel.web.pages.models import ModelChoices
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


@router.get("/new")
async def new(request: Request, service: ServiceDep) -> Response:
    """Show the form of a new session."""
    product = {each.name: "" for each in (*PRODUCT, *OPTIONS)}
    scenes = {f"{scenario}.{each.name}": "" for scenario in Scenario for each in SCENE}
    durations = {f"{scenario}.duration": "5" for scenario in Scenario}
    return await _form(request, service, FormState(product | scenes | durations))


@router.post("/new")
async def create(request: Request, service: ServiceDep, upload: Upload) -> Response:
    """Store a new session and redirect to it, or show the form with its errors."""
    form, images = await upload.decoded()
    # Browsers do not keep chosen files, and there is no session yet to store them in.
    again = {each.name: f"Please choose the file {each.filename} again." for each in upload.files} | form.errors
    if form.errors:
        return await _form(request, service, FormState(upload.fields, again, 422))
    try:
        new_session, key = session_of(form.fields), scoped_key(request, upload.fields.get("token") or None)
        create = partial(service.create_session, new_session, key=key, images=images)
        created = await wait_if_in_flight(lambda: run_in_threadpool(create))
    except FORM_ERRORS as error:
        found = with_errors(upload.fields, error)
        return await _form(request, service, replace(found, errors=again | found.errors))
    return RedirectResponse(f"/sessions/{created.session_id}", 303)


async def _form(request: Request, service: Service, form: FormState) -> Response:
    models = await run_in_threadpool(ModelChoices.of, service)
    defaults = defaults_of(None, models.default)
    given = {each.name: form.fields.get(each.name, "") for each in OPTIONS}
    defaults |= {f"{scenario}.{name}": given[name] or text for scenario in Scenario for name, text in defaults.items()}
    form = replace(form, defaults=defaults, notes={"model": models.note(given["model"] or models.default)})
    return page(
        request,
        "new.html",
        form.status,
        form=form,
        product=PRODUCT,
        description=DESCRIPTION,
        words=WORDS,
        options=OPTIONS,
        models=models,
        scenarios=list(Scenario),
        token=new_token(),
        label_of=label_of,
    )
