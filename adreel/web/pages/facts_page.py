"""The page that edits the facts of an ad's product, for the clips that are bought later."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from adreel.models.api import SessionPatch
from adreel.models.scenarios import Scenario
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records import StoredSession
from adreel.records.views import current_takes
from adreel.service import Service
from adreel.service.sessions import version_of
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.pages.forms import (
    FORM_ERRORS,
    ORIGINAL,
    PRODUCT,
    Fields,
    FormState,
    field_text,
    is_edited,
    with_errors,
)
from adreel.web.pages.rendering import PageRoute, page

FACTS = tuple(each for each in PRODUCT if each.name != "session_id")

router = APIRouter(prefix="/sessions/{session_id}/facts", include_in_schema=False, route_class=PageRoute)


@router.get("")
async def show_facts(session_id: SessionId, request: Request, service: ServiceDep) -> Response:
    """Show the facts of an ad's product."""
    return await _show(request, service, session_id)


@router.post("")
async def save_facts(session_id: SessionId, request: Request, service: ServiceDep, fields: Fields) -> Response:
    """Save the edited facts and redirect to the page of the ad."""
    try:
        patch = facts_of(fields)
        await run_in_threadpool(service.change_session, session_id, patch, version=fields.get("version", ""))
    except FORM_ERRORS as error:
        return await _show(request, service, session_id, with_errors(fields, error))
    return RedirectResponse(f"/sessions/{session_id}?said=facts", 303)


def facts_of(fields: dict[str, str]) -> SessionPatch:
    """Read the edited facts, or raise ValidationError."""
    edited = [each.name for each in FACTS if each.name in fields and is_edited(each.name, fields)]
    values: dict[str, Any] = {name: fields[name].strip() for name in edited}
    if "brand_colors" in values:
        values["brand_colors"] = [part.strip() for part in values["brand_colors"].split(",") if part.strip()]
    return SessionPatch.model_validate(values)


async def _show(request: Request, service: Service, session_id: str, sent: FormState | None = None) -> Response:
    session = await run_in_threadpool(service.session, session_id)
    stored = {each.name: field_text(getattr(session, each.name)) for each in FACTS}
    stored["brand_colors"] = ", ".join(session.brand_colors)
    typed = (
        {name: text for name, text in sent.fields.items() if name in stored and is_edited(name, sent.fields)}
        if sent
        else {}
    )
    form = FormState(
        stored | typed | {ORIGINAL + name: text for name, text in stored.items()},
        sent.errors if sent else {},
        sent.status if sent else 200,
        sent.headers if sent else {},
    )
    response = page(
        request,
        "facts.html",
        form.status,
        session=session,
        path=f"/sessions/{session_id}",
        form=form,
        facts=FACTS,
        original=ORIGINAL,
        version=version_of(session),
        made=await run_in_threadpool(_scenes_by_facts, service, session),
    )
    response.headers.update(form.headers)
    return response


def _scenes_by_facts(service: Service, session: StoredSession) -> dict[bool, list[Scenario]]:
    """Return the scenes whose current clip was made from the present facts (True), and from others."""
    found: dict[bool, list[Scenario]] = {True: [], False: []}
    for part, take in current_takes(service.records, session.session_id).items():
        if isinstance(part, Scenario):
            found[service.has_present_facts(session, take)].append(part)
    return found
