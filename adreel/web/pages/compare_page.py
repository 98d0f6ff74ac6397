"""The page that compares two takes of a scene: the clips under one playhead, and the words that differ."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from adreel.models.scenarios import Scenario
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.views import current_take
from adreel.service import Service
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.pages.comparison import ComparedTake, Comparison
from adreel.web.pages.models import ModelChoices
from adreel.web.pages.rendering import PageRoute, page

TOO_FEW = "There is nothing to compare yet: this scene has fewer than two takes with a clip."
NOT_THERE = "One of these takes is not there, or has no clip. Choose two of those below."
SAME = "This is the same take twice. Choose two different ones."

router = APIRouter(include_in_schema=False, route_class=PageRoute)

TakeName = Annotated[str, Query(max_length=64)]


@router.get("/sessions/{session_id}/scenes/{scenario}/compare")
async def compare_takes(
    session_id: SessionId,
    scenario: Scenario,
    request: Request,
    service: ServiceDep,
    *,
    a: TakeName = "",
    b: TakeName = "",
) -> Response:
    """Compare two takes, named by their clip or their job; by default the current one and the newest other one."""
    return await run_in_threadpool(_show, request, service, session_id, scenario, (a, b))


def _show(request: Request, service: Service, session_id: str, scenario: Scenario, names: tuple[str, str]) -> Response:
    session, takes = service.session(session_id), service.records.takes(session_id, scenario)
    current = current_take(takes, service.records.choices(session_id))
    sides = [
        ComparedTake(take, number, is_current=take is current)
        for number, take in enumerate(takes, start=1)
        if take.is_stored and take.clip
    ]
    first, second = _chosen(sides, names)
    problem, comparison = "", None
    if len(sides) < 2:
        problem = TOO_FEW
    elif first is None or second is None:
        problem = NOT_THERE
    elif first is second:
        problem = SAME
    else:
        comparison = Comparison.of(first, second, ModelChoices.of(service))
    return page(
        request,
        "compare.html",
        404 if problem == NOT_THERE else 200,
        product=session.product_name,
        path=f"/sessions/{session_id}",
        scenario=scenario,
        problem=problem,
        comparison=comparison,
        choices=sides[::-1],
        chosen=(first, second),
    )


def _chosen(sides: list[ComparedTake], names: tuple[str, str]) -> list[ComparedTake | None]:
    """Return the two takes of a comparison; None for a name that no take has."""
    named = [next((side for side in sides if name in {side.take.short_id, side.take.job_id}), None) for name in names]
    # Stable: the current one, then the newest.
    others = sorted((side for side in sides[::-1] if side not in named), key=lambda side: not side.is_current)
    defaults = iter(others)
    return [side if name else next(defaults, None) for name, side in zip(names, named, strict=True)]
