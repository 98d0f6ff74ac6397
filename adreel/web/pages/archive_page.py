"""The buttons that archive an ad and bring it back, on its page and in the list."""

from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Response
from starlette.responses import RedirectResponse

from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.pages.forms import Fields
from adreel.web.pages.rendering import PageRoute
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


def back(page: PageContext, fields: dict[str, str], notice: str) -> Response:
    """Redirect to the list that the form was in, by the query of its address, or else to the page of the ad."""
    if "list" not in fields:
        return page.redirect(notice=notice)
    query = dict(parse_qsl(fields["list"])) | {"said": notice, "ad": page.session_id}
    return RedirectResponse(f"/?{urlencode(query)}", 303)
