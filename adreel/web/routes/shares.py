"""Shares and reviews of an ad; and its files for guests, who have no key."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response

from adreel.errors import NotFound
from adreel.models.sessions import ID_PATTERN
from adreel.models.shares import CreatedShare, ReviewList, Right, ShareCreate, ShareList, ShareView
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records import sharing
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.guests import GuestDep
from adreel.web.openapi import answers
from adreel.web.routes.outputs import output

GUEST_CACHE = "private, max-age=600"
"""A guest's browser may keep a file while the film is watched, and not long after the share has ended."""

router = APIRouter(prefix="/api/sessions/{session_id}", tags=["sessions"])
guest_router = APIRouter(include_in_schema=False)

ShareId = Annotated[str, Path(pattern=ID_PATTERN, examples=["3f9a1c2b5d6e7f80"])]


@router.post("/shares", status_code=201, responses=answers(404, 503))
async def create_share(session_id: SessionId, body: ShareCreate, request: Request, service: ServiceDep) -> CreatedShare:
    """Make a link to an ad for a person without a key. The link is in this answer alone."""
    link, caller = service.settings.public_link, request.state.caller.name
    return await run_in_threadpool(sharing.create_share, service.records, session_id, body, link, caller)


@router.get("/shares", responses=answers(404, 503))
async def list_shares(session_id: SessionId, service: ServiceDep) -> ShareList:
    """List the shares of an ad, the newest first."""
    return await run_in_threadpool(sharing.list_shares, service.records, session_id)


@router.delete("/shares/{share_id}", responses=answers(404, 503))
async def revoke_share(session_id: SessionId, share_id: ShareId, service: ServiceDep) -> ShareView:
    """End a share for good. Its reviews stay."""
    return await run_in_threadpool(sharing.revoke_share, service.records, session_id, share_id)


@router.get("/reviews", responses=answers(404, 503))
async def list_reviews(session_id: SessionId, service: ServiceDep) -> ReviewList:
    """List the comments, approvals and requests for changes of an ad's guests, the newest first."""
    return await run_in_threadpool(sharing.list_reviews, service.records, session_id)


@guest_router.head(sharing.SHARE_PATH + "{token}/files/{file}")
@guest_router.get(sharing.SHARE_PATH + "{token}/files/{file}")
async def read_shared_file(
    guest: GuestDep,
    file: Annotated[str, Path(max_length=120)],
    request: Request,
    service: ServiceDep,
    *,
    download: Annotated[bool, Query()] = False,
    requested: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Serve a file of the shared ad as it is now: no earlier take, and no other ad."""
    if download:
        guest.check(Right.DOWNLOAD)
    film = await run_in_threadpool(sharing.film_of, service.records, guest.share.session_id)
    if file not in film.names:
        raise NotFound("this ad has no such file now: reload the page")
    response = await output(
        file,
        request,
        service,
        download=download,
        requested=requested,
        if_range=if_range,
        if_none_match=if_none_match,
    )
    if "location" not in response.headers:
        response.headers["Cache-Control"] = GUEST_CACHE
    return response
