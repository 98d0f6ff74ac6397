"""The buttons that archive an ad and bring it back, on its page and in the list; and the page that deletes an ad."""

from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from adreel.errors import Conflict
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.suggestions import without_commands
from adreel.service import Service
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.pages.forms import Fields
from adreel.web.pages.rendering import PageRoute
from adreel.web.pages.rendering import page as show
from adreel.web.pages.session_page import Page, PageContext, shows_errors

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.post("/sessions/{session_id}/archive")
@shows_errors
async def archive(page: Page, fields: Fields) -> Response:
    """Archive an ad."""
    await run_in_threadpool(page.service.archive, page.session_id)
    return back(page, fields, "archived")


@router.post("/sessions/{session_id}/restore")
@shows_errors
async def restore(page: Page, fields: Fields) -> Response:
    """Bring an archived ad back into the list."""
    await run_in_threadpool(page.service.restore, page.session_id)
    return back(page, fields, "restored")


@router.get("/sessions/{session_id}/delete")
async def ask(session_id: SessionId, request: Request, service: ServiceDep) -> Response:
    """Ask whether an ad is to be deleted."""
    return await _ask(request, service, session_id)


@router.post("/sessions/{session_id}/delete")
async def delete(session_id: SessionId, request: Request, service: ServiceDep) -> Response:
    """Delete an ad and redirect to the list."""
    try:
        await run_in_threadpool(service.delete, session_id)
    except Conflict as error:
        return await _ask(request, service, session_id, error)
    return RedirectResponse(f"/?said=deleted&ad={session_id}", 303)


async def _ask(request: Request, service: Service, session_id: str, error: Conflict | None = None) -> Response:
    session = await run_in_threadpool(service.session, session_id)
    problem = without_commands(str(error)) if error else ""
    status = 409 if error else 200
    return show(request, "delete.html", status, session=session, path=f"/sessions/{session_id}", problem=problem)


def back(page: PageContext, fields: dict[str, str], notice: str) -> Response:
    """Redirect to the list that the form was in, by the query of its address, or else to the page of the ad."""
    if "list" not in fields:
        return page.redirect(notice=notice)
    query = dict(parse_qsl(fields["list"])) | {"said": notice, "ad": page.session_id}
    return RedirectResponse(f"/?{urlencode(query)}", 303)
