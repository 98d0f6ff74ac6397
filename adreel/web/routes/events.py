"""Server-sent events: each change of a job's status, until it ends.

The id of an event is a digest of its status. A client that reconnects, to this server or another, gets what it has
missed and nothing twice. A client whose last event was the end gets 204, so that it does not reconnect.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from adreel.errors import PrefectUnreachable, StorageError
from adreel.models.api import State, VideoStatusResponse
from adreel.web.dependencies import JobId, StatusesDep
from adreel.web.openapi import answers

POLL_SECONDS = 1.0
log = logging.getLogger("adreel.api")

router = APIRouter(prefix="/api/videos", tags=["videos"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="The id of the last event received")]


async def first_status(job_id: JobId, statuses: StatusesDep, last_event_id: LastEventId = None) -> VideoStatusResponse:
    """Read the status before the stream begins, while the answer can still be a 404."""
    status = await statuses.recent(job_id, POLL_SECONDS)
    if status.overall_status != State.GENERATING and event_id(status) == last_event_id:
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
    statuses: StatusesDep,
    first: Annotated[VideoStatusResponse, Depends(first_status)],
    last_event_id: LastEventId = None,
) -> AsyncIterator[ServerSentEvent]:
    """Stream each change of a job as `event: status`, with the JSON of its status. `event: end` is the last event."""
    sent, status = last_event_id, first
    stopping: asyncio.Event = request.app.state.stopping
    while not stopping.is_set():
        identity = event_id(status)
        if identity != sent:
            yield ServerSentEvent(event="status", data=status, id=identity)
            sent = identity
        if status.overall_status != State.GENERATING:
            yield ServerSentEvent(event="end", data=status, id=identity)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), POLL_SECONDS)
        try:
            status = await statuses.recent(job_id, POLL_SECONDS)
        except (PrefectUnreachable, StorageError) as error:
            log.warning("the events of job %s are delayed: %s", job_id, error)


@router.head("/events/{job_id}", include_in_schema=False, dependencies=[Depends(first_status)])
async def events_head() -> Response:
    """Answer with the type of the stream alone, which would not end before its job."""
    return Response(headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"})


def event_id(status: VideoStatusResponse) -> str:
    """Return the id of the event with a status."""
    return hashlib.sha256(status.model_dump_json().encode()).hexdigest()[:16]
