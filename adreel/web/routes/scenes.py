"""The takes of a scene over HTTP: compare them, and choose the one to show."""

from fastapi import APIRouter

from adreel.models.api import TakeChoice, TakeList, TakeView
from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.records.views import choose_take, current_take, scene_video
from adreel.web.backend import Served
from adreel.web.openapi import answers
from adreel.web.problems import naming
from adreel.web.routes.sessions import SessionId, described
from adreel.web.starting import stored_session
from adreel.web.threads import BlockingRoute

router = APIRouter(prefix="/api/sessions/{session_id}/scenes/{scenario}", tags=["sessions"], route_class=BlockingRoute)


@router.get("/takes", responses=answers(404, 503))
def list_takes(session_id: SessionId, scenario: Scenario, backend: Served) -> TakeList:
    """List every take that was bought for a scene, the oldest first."""
    with naming("scenario", "path"):
        described(stored_session(backend, session_id, "path"), scenario)
    takes = backend.records.takes(session_id, scenario)
    current = current_take(takes, backend.records.choices(session_id))
    return TakeList(takes=[take_view(take, is_current=take == current) for take in takes])


@router.put("/current", responses=answers(404, 503))
def choose(session_id: SessionId, scenario: Scenario, asked: TakeChoice, backend: Served) -> TakeView:
    """Make a stored take the current one of its scene."""
    with naming("scenario", "path"):
        described(stored_session(backend, session_id, "path"), scenario)
    with naming("take"):
        take = choose_take(backend.records, session_id, scenario, asked.take)
    return take_view(take, is_current=True)


def take_view(take: Take, *, is_current: bool) -> TakeView:
    """Return a take as the API shows it."""
    return TakeView(
        **scene_video(take).model_dump(exclude={"take"}),
        take=take.short_id,
        job_id=take.job_id,
        progress=take.progress,
        is_current=is_current,
        updated_at=take.updated_at,
        error=take.problem.message if take.problem else None,
        aside_url=f"/outputs/{take.aside.file}" if take.aside else None,
        scene=take.scene,
    )
