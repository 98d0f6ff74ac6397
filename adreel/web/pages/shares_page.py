"""The page of an ad's shares: make and end links for guests, and read what the guests have said."""

import logging
from dataclasses import dataclass
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import RedirectResponse

from adreel.errors import StorageError
from adreel.models.sessions import ID_PATTERN
from adreel.models.shares import (
    DEFAULT_DAYS,
    DEFAULT_RIGHTS,
    MAX_DAYS,
    CreatedShare,
    Review,
    ReviewList,
    ReviewView,
    Right,
    ShareCreate,
    ShareView,
)
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records import Records, sharing
from adreel.records.sharing import Film
from adreel.service import Service
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.pages.boards import Board
from adreel.web.pages.forms import FORM_ERRORS, Fields, FormState, with_errors
from adreel.web.pages.rendering import PageRoute, page

RIGHTS = {
    Right.COMMENT: "Write comments",
    Right.APPROVE: "Approve, or request changes",
    Right.DOWNLOAD: "Download the files",
}

MAX_NEWEST = 3
"""Maximum number of reviews on the page of the ad."""

log = logging.getLogger("adreel.storyboard")
router = APIRouter(prefix="/sessions/{session_id}", include_in_schema=False, route_class=PageRoute)


@router.get("/share")
async def show_shares(
    session_id: SessionId, request: Request, service: ServiceDep, said: Annotated[str, Query(max_length=40)] = ""
) -> Response:
    """Show the shares and the reviews of an ad."""
    notice = "The link was withdrawn. It opens nothing any more." if said == "revoked" else ""
    return await _show(request, service, session_id, notice=notice)


@router.post("/share")
async def create_share(session_id: SessionId, request: Request, service: ServiceDep, fields: Fields) -> Response:
    """Make a link. It is in this answer alone, so there is no redirect."""
    host = request.headers.get("host", "")

    def link(path: str) -> str:
        return service.settings.public_link(path) or f"{request.url.scheme}://{host}{path}"

    try:
        rights = [right for right in Right if fields.get(right)]
        text = {name: fields[name] for name in ("days", "label") if name in fields}
        new = ShareCreate.model_validate({**text, "rights": rights})
        caller = request.state.caller.name
        made = await run_in_threadpool(sharing.create_share, service.records, session_id, new, link, caller)
    except FORM_ERRORS as error:
        return await _show(request, service, session_id, form=with_errors(fields, error))
    return await _show(request, service, session_id, made=made)


@router.post("/shares/{share_id}/revoke")
async def revoke_share(
    session_id: SessionId, share_id: Annotated[str, Path(pattern=ID_PATTERN)], service: ServiceDep
) -> Response:
    """End a share for good."""
    await run_in_threadpool(sharing.revoke_share, service.records, session_id, share_id)
    return RedirectResponse(f"/sessions/{session_id}/share?said=revoked", 303)


async def _show(
    request: Request,
    service: Service,
    session_id: str,
    *,
    notice: str = "",
    form: FormState | None = None,
    made: CreatedShare | None = None,
) -> Response:
    form = form or FormState(dict.fromkeys(DEFAULT_RIGHTS, "yes") | {"days": str(DEFAULT_DAYS), "label": ""})
    return page(
        request,
        "shares.html",
        form.status,
        session_id=session_id,
        path=f"/sessions/{session_id}",
        form=form,
        made=made,
        notice=notice,
        rights=RIGHTS,
        max_days=MAX_DAYS,
        **await run_in_threadpool(_read, service.records, session_id),
    )


def _read(records: Records, session_id: str) -> dict[str, Any]:
    product = records.session(session_id).product_name
    film = sharing.film_of(records, session_id)
    shares, said = sharing.list_shares(records, session_id), sharing.list_reviews(records, session_id, film)
    return {
        "product": product,
        "film": film,
        "shares": shares.shares,
        "said": said,
        "labels": {each.share_id: each.label or each.share_id for each in shares.shares},
        "unreadable": [*shares.unreadable, *said.unreadable],
    }


@dataclass(frozen=True)
class SharedState:
    """The links of an ad and the reviews of its guests, as its page shows them."""

    links: list[ShareView]
    said: ReviewList
    film: Film

    @classmethod
    def of(cls, board: Board, links: list[ShareView], reviews: list[Review]) -> Self:
        """Judge reviews by what the page of their ad shows."""
        takes = {scene.scenario: scene.current for scene in board.scenes if scene.current}
        film = sharing.make_film(takes, board.cuts or [])
        return cls(links, sharing.judge_reviews(reviews, film), film)

    @property
    def newest(self) -> list[ReviewView]:
        """The newest reviews."""
        return self.said.reviews[:MAX_NEWEST]


def read_shares_and_reviews(records: Records, session_id: str) -> tuple[list[ShareView], list[Review]]:
    """Read the shares and the reviews of an ad, or what is readable of them."""
    try:
        return sharing.shares_of(records, session_id).shares, records.reviews(session_id, unreadable=[])
    except StorageError as broken:
        # The clips are shown all the same.
        log.warning("%s", broken)
        return [], []
