"""Server-sent events: each change of a job's status, until it ends.

An event's id is a digest of the status that it tells. So a client that reconnects, to this server or another, hears
what it has missed and nothing twice; and one whose last event was the end is told by 204 not to come back.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from adreel.errors import StorageError
from adreel.models.api import State, VideoStatusResponse
from adreel.orchestration.runs import PrefectUnreachable
from adreel.web.backend import Backend, Served
from adreel.web.openapi import answers
from adreel.web.routes.videos import JobId

LOOK_SECONDS = 1.0
log = logging.getLogger("adreel.api")

router = APIRouter(prefix="/api/videos", tags=["videos"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="The id of the last event received")]


async def _first(job_id: JobId, backend: Served, last_event_id: LastEventId = None) -> VideoStatusResponse:
    """Read the status before the stream begins, while the answer can still be a 404."""
    status = await backend.statuses.recent(job_id, LOOK_SECONDS)
    if _has_ended(status) and event_id(status) == last_event_id:
        raise HTTPException(204)
    return status


@router.get(
    "/events/{job_id}",
    response_class=EventSourceResponse,
    responses={204: {"description": "The job has ended and `Last-Event-ID` is its last event"}, **answers(404, 503)},
)
async def events(
    job_id: JobId,
    request: Request,
    backend: Served,
    first: Annotated[VideoStatusResponse, Depends(_first)],
    last_event_id: LastEventId = None,
) -> AsyncIterator[ServerSentEvent]:
    """Tell each change of a job as `event: status` with the same JSON as its status; `event: end` is the last."""
    told, status = last_event_id, first
    stopping: asyncio.Event = request.app.state.stopping
    while not stopping.is_set():
        identity = event_id(status)
        if identity != told:
            yield ServerSentEvent(event="status", data=status, id=identity)
            told = identity
        if _has_ended(status):
            yield ServerSentEvent(event="end", data=status, id=identity)
            return
        status = await _next(backend, status, stopping)


async def _next(backend: Backend, status: VideoStatusResponse, stopping: asyncio.Event) -> VideoStatusResponse:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)
    try:
        return await backend.statuses.recent(status.job_id, LOOK_SECONDS)
    except (PrefectUnreachable, StorageError) as error:
        log.warning("the events of job %s wait: %s", status.job_id, error)
        return status


def event_id(status: VideoStatusResponse) -> str:
    """Return the id of the event that tells a status."""
    return hashlib.sha256(status.model_dump_json().encode()).hexdigest()[:16]


def _has_ended(status: VideoStatusResponse) -> bool:
    return status.overall_status != State.GENERATING
