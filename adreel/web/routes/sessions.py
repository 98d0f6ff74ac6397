"""Sessions: create, read and list them, and change the description of a scene."""

from fastapi import APIRouter, Response

from adreel.models.api import ScenePatch, SessionCreate, SessionDetails, SessionPage, SessionPatch
from adreel.models.cuts import CutList
from adreel.models.scenarios import Scenario
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import FiltersQuery, IndexDep, ScopedKey, ServiceDep, SessionId
from adreel.web.openapi import answers

router = APIRouter(prefix="/api/sessions", tags=["sessions"])


@router.post("", status_code=201, responses=answers(409, 503))
async def create_session(
    body: SessionCreate, service: ServiceDep, key: ScopedKey, response: Response
) -> SessionDetails:
    """Store a new session. Its id is generated if none is given. Nothing is bought yet."""
    session = await run_in_threadpool(service.create_session, body, key=key)
    response.headers["Location"] = f"/api/sessions/{session.session_id}"
    return session


@router.get("", responses=answers(503))
async def list_sessions(index: IndexDep, filters: FiltersQuery) -> SessionPage:
    """List the sessions, the newest first. Changes through other servers show within seconds."""
    return await run_in_threadpool(index.page, filters.query())


@router.get("/{session_id}", responses=answers(404, 503))
async def read_session(session_id: SessionId, service: ServiceDep) -> SessionDetails:
    """Return a session with its current clips, states and cost."""
    return await run_in_threadpool(service.session_details, session_id)


@router.get("/{session_id}/cuts", responses=answers(404, 503))
async def list_cuts(session_id: SessionId, service: ServiceDep) -> CutList:
    """List the finished ads of a session, the newest first. An ad is stale if a clip or a setting has changed since."""
    return await run_in_threadpool(service.cuts, session_id)


@router.patch("/{session_id}", responses=answers(404, 503))
async def change_session(session_id: SessionId, body: SessionPatch, service: ServiceDep) -> SessionDetails:
    """Change what the scenes of a session have in common, for later jobs. Null removes a field.

    A scene's own value takes precedence.
    """
    return await run_in_threadpool(service.change_session, session_id, body)


@router.post("/{session_id}/archive", responses=answers(404, 409, 503))
async def archive(session_id: SessionId, service: ServiceDep) -> SessionDetails:
    """Take a session out of the lists, except `state=archived`. Nothing is bought for it then; its clips stay."""
    return await run_in_threadpool(service.archive, session_id)


@router.post("/{session_id}/restore", responses=answers(404, 503))
async def restore(session_id: SessionId, service: ServiceDep) -> SessionDetails:
    """Bring an archived session back into the lists."""
    return await run_in_threadpool(service.restore, session_id)


@router.delete("/{session_id}", status_code=204, responses=answers(404, 409, 503))
async def delete_session(session_id: SessionId, service: ServiceDep) -> None:
    """Delete a session for which no clip was ever ordered. Others get 409: archive them instead."""
    await run_in_threadpool(service.delete, session_id)


@router.patch("/{session_id}/scenes/{scenario}", responses=answers(404, 503))
async def change_scene(
    session_id: SessionId, scenario: Scenario, body: ScenePatch, service: ServiceDep
) -> SessionDetails:
    """Change a scene's description for later jobs. Takes that were bought stay. Null removes an optional field."""
    return await run_in_threadpool(service.change_scene, session_id, scenario, body)
