"""The takes of a part of an ad: compare them, and choose the current one."""

from typing import Annotated

from fastapi import APIRouter, Path

from adreel.models.api import NamedPart, TakeChoice, TakeList, TakeView
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.openapi import answers

PartName = Annotated[
    NamedPart, Path(description="A scene, for its clip; its narration or still; or the music", examples=["voice-hook"])
]

router = APIRouter(prefix="/api/sessions/{session_id}/scenes/{scenario}", tags=["sessions"])


@router.get("/takes", responses=answers(404, 503))
async def list_takes(session_id: SessionId, scenario: PartName, service: ServiceDep) -> TakeList:
    """List every take of a clip, a narration, a still or the music, the oldest first."""
    return TakeList(takes=await run_in_threadpool(service.list_takes, session_id, scenario))


@router.put("/current", responses=answers(404, 503))
async def choose(session_id: SessionId, scenario: PartName, body: TakeChoice, service: ServiceDep) -> TakeView:
    """Make a stored take the current one. A still becomes the first frame of its scene too, for later clips."""
    return await run_in_threadpool(service.choose_take, session_id, scenario, body.take)
