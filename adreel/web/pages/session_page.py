"""The page of a session: its four scenes side by side, and the orders that a person gives there."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import RedirectResponse

from adreel.models.api import TakeChoice, VideoGenerationRequest, VideoRegenerateRequest
from adreel.models.scenarios import Scenario
from adreel.models.sessions import ID_PATTERN
from adreel.web.backend import Backend, Served
from adreel.web.idempotency import scoped_key
from adreel.web.pages.boards import read_board
from adreel.web.pages.forms import (
    DETAILS,
    SEEN,
    SHOWN,
    WRONG,
    Entered,
    Fields,
    changes_of,
    edited,
    filled,
    first_answer,
    new_token,
    refused,
)
from adreel.web.pages.rendering import PageRoute, page
from adreel.web.problems import Refusal
from adreel.web.routes.scenes import choose
from adreel.web.routes.sessions import SessionId, change_scene
from adreel.web.routes.videos import JobId, cancel, generate_scenes, regenerate_scene, resume
from adreel.web.threads import run_in_threadpool

SAID = {
    "saved": "Saved. The next take will be made from this description.",
    "chosen": "This take is the current one now.",
    "cancelled": "Cancelled. Nothing more is bought. What Runware has accepted can still be fetched.",
}

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Jobs = Annotated[list[Annotated[str, Query(pattern=ID_PATTERN)]], Query(default_factory=list, alias="job")]


@dataclass(frozen=True)
class Visit:
    """A request about one session; `jobs` are what was ordered and may not be in the records yet."""

    request: Request
    session_id: str
    backend: Backend
    jobs: list[str]

    def key(self, fields: dict[str, str]) -> str | None:
        """Return the idempotency key of a form."""
        if not fields.get("token"):
            raise Refusal(422, "noToken", "this form has lost its token: load the page again")
        return scoped_key(self.request, fields["token"])

    def done(self, *, job_id: str = "", said: str = "", place: str = "") -> Response:
        """Lead back to the page, to follow what was ordered."""
        jobs = dict.fromkeys([*self.jobs, *([job_id] if job_id else [])])
        query = urlencode([*(("job", each) for each in jobs), *([("said", said)] if said else [])])
        fragment = f"#{place}" if place in set(Scenario) else ""
        return RedirectResponse(f"/sessions/{self.session_id}{'?' if query else ''}{query}{fragment}", 303)

    async def show(
        self, *, said: str = "", problem: Entered | None = None, sent: dict[Scenario, Entered] | None = None
    ) -> Response:
        """Answer with the page; `sent` are forms that come back as they were sent."""
        board = await read_board(self.backend, self.session_id, self.jobs)
        forms = {scene.scenario: Entered(filled(scene.description)) for scene in board.scenes} | (sent or {})
        refusal = problem or next(iter((sent or {}).values()), Entered({}))
        query = urlencode([("job", job_id) for job_id in board.orders.ids])
        answer = page(
            self.request,
            "session.html",
            refusal.status,
            board=board,
            session=board.session,
            path=f"/sessions/{self.session_id}",
            forms=forms,
            problem=next(iter(problem.errors.values())) if problem else "",
            said=said,
            seen=SEEN,
            shown=SHOWN,
            details=DETAILS,
            tokens={scenario: _token(form) for scenario, form in forms.items()},
            query=f"?{query}" if query else "",
        )
        answer.headers.update(refusal.headers)
        return answer


async def _visit(request: Request, session_id: SessionId, backend: Served, jobs: Jobs) -> Visit:
    return Visit(request, session_id, backend, jobs)


Visited = Annotated[Visit, Depends(_visit)]


@router.get("/sessions/{session_id}")
async def session(visit: Visited, said: str = "") -> Response:
    """Show a session."""
    return await visit.show(said=SAID.get(said, ""))


@router.post("/sessions/{session_id}/generate")
async def generate(visit: Visited, fields: Fields) -> Response:
    """Order the first clips of scenes."""
    try:
        asked = VideoGenerationRequest.model_validate(
            {"session_id": visit.session_id, "scenarios": fields.get("scenarios", "").split()}
        )
        key = visit.key(fields)
        started = await first_answer(lambda: generate_scenes(asked, visit.backend, key))
    except WRONG as error:
        return await visit.show(problem=refused({}, error))
    return visit.done(job_id=started.job_id)


@router.post("/sessions/{session_id}/jobs/{job_id}/resume")
async def resume_job(visit: Visited, job_id: JobId, fields: Fields) -> Response:
    """Resume a job."""
    try:
        key = visit.key(fields)
        started = await first_answer(lambda: resume(job_id, visit.backend, key))
    except WRONG as error:
        return await visit.show(problem=refused({}, error))
    return visit.done(job_id=started.job_id, place=fields.get("scenario", ""))


@router.post("/sessions/{session_id}/jobs/{job_id}/cancel")
async def cancel_job(visit: Visited, job_id: JobId) -> Response:
    """End a job."""
    try:
        await cancel(job_id, visit.backend)
    except WRONG as error:
        return await visit.show(problem=refused({}, error))
    return visit.done(said="cancelled")


@router.post("/sessions/{session_id}/scenes/{scenario}")
async def change(visit: Visited, scenario: Scenario, fields: Fields) -> Response:
    """Save a scene's description, and order a take of it if `action` is `regenerate`."""
    try:
        asked = changes_of(fields)
        await run_in_threadpool(change_scene, visit.session_id, scenario, edited(asked, fields), visit.backend)
        if fields.get("action") != "regenerate":
            return visit.done(said="saved", place=scenario)
        # The words go along: the same form with other words must not pass for a second click.
        job_id = await _regenerate(visit, scenario, fields, asked.model_dump(exclude_unset=True, exclude_none=True))
    except WRONG as error:
        return await visit.show(sent={scenario: refused(fields, error)})
    return visit.done(job_id=job_id, place=scenario)


@router.post("/sessions/{session_id}/scenes/{scenario}/retry")
async def retry(visit: Visited, scenario: Scenario, fields: Fields) -> Response:
    """Order another take of a scene as it is described."""
    try:
        job_id = await _regenerate(visit, scenario, fields, {})
    except WRONG as error:
        return await visit.show(problem=refused({}, error))
    return visit.done(job_id=job_id, place=scenario)


@router.post("/sessions/{session_id}/scenes/{scenario}/current")
async def use(visit: Visited, scenario: Scenario, fields: Fields) -> Response:
    """Make an older take the current one."""
    try:
        chosen = TakeChoice.model_validate({"take": fields.get("take", "")})
        await run_in_threadpool(choose, visit.session_id, scenario, chosen, visit.backend)
    except WRONG as error:
        return await visit.show(problem=refused({}, error))
    return visit.done(said="chosen", place=scenario)


async def _regenerate(visit: Visit, scenario: Scenario, fields: dict[str, str], changes: dict[str, Any]) -> str:
    order = VideoRegenerateRequest.model_validate({**changes, "session_id": visit.session_id, "scenario": scenario})
    key = visit.key(fields)
    started = await first_answer(lambda: regenerate_scene(order, visit.backend, key, visit.request, Response()))
    return started.job_id


def _token(form: Entered) -> str:
    """Return the token of a form: after a 503 its own, as that order may have arrived, else a new one."""
    return (form.fields.get("token") if form.status == 503 else "") or new_token()
