"""The takes of a scene: compare them, and choose the current one."""

from fastapi import APIRouter

from adreel.models.api import TakeChoice, TakeList, TakeView
from adreel.models.scenarios import Scenario
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.openapi import answers

router = APIRouter(prefix="/api/sessions/{session_id}/scenes/{scenario}", tags=["sessions"])


@router.get("/takes", responses=answers(404, 503))
async def list_takes(session_id: SessionId, scenario: Scenario, service: ServiceDep) -> TakeList:
    """List every take of a scene, the oldest first."""
    return TakeList(takes=await run_in_threadpool(service.list_takes, session_id, scenario))


@router.put("/current", responses=answers(404, 503))
async def choose(session_id: SessionId, scenario: Scenario, body: TakeChoice, service: ServiceDep) -> TakeView:
    """Make a stored take the current one of its scene."""
    return await run_in_threadpool(service.choose_take, session_id, scenario, body.take)
