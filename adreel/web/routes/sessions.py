"""Sessions over HTTP: make, read and list them, and change a scene's description."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import ValidationError

from adreel.errors import InputError, NotFound, StorageError
from adreel.models.api import ScenePatch, SessionCreate, SessionDetails, SessionPage
from adreel.models.scenarios import Scenario
from adreel.models.sessions import ID_PATTERN, SceneDescription, Session
from adreel.records.views import session_view
from adreel.web.backend import Backend, Served
from adreel.web.idempotency import ScopedKey, another_body, fingerprint
from adreel.web.openapi import answers
from adreel.web.problems import FieldProblem, Refusal, naming
from adreel.web.starting import check_scene, stored_session
from adreel.web.threads import BlockingRoute

MADE_BY = "made_by_request"
"""A field of a stored session: the fingerprint of the request that made it under an Idempotency-Key."""

SessionId = Annotated[str, Path(pattern=ID_PATTERN, examples=["abc-123"])]

router = APIRouter(prefix="/api/sessions", tags=["sessions"], route_class=BlockingRoute)


@router.post("", status_code=201, responses=answers(409, 503))
def create_session(asked: SessionCreate, backend: Served, key: ScopedKey, response: Response) -> SessionDetails:
    """Store a new session; its id is made up if none is given. Nothing is bought yet."""
    session = Session.model_validate(asked.model_dump())
    made_by = None
    if key is not None:
        body = asked.model_dump(mode="json", exclude={"session_id"} - asked.model_fields_set)
        made_by = fingerprint(body)
        if "session_id" not in asked.model_fields_set:
            session = session.model_copy(update={"session_id": f"ad-{key.removeprefix('api-')[:16]}"})
    for scene in session.scene_descriptions:
        with naming(f"scene_descriptions.{scene.scenario}"):
            check_scene(backend, session, scene)
    _create(backend, session, made_by)
    response.headers["Location"] = f"/api/sessions/{session.session_id}"
    return details(backend, session.session_id)


@router.get("", responses=answers(503))
def list_sessions(
    backend: Served,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=ID_PATTERN, description="`next` of the page before")] = None,
) -> SessionPage:
    """List the sessions, by their ids."""
    ids = [session_id for session_id in backend.records.session_ids() if after is None or session_id > after]
    page, unreadable = ids[:limit], []
    summaries = []
    for session_id in page:
        try:
            summaries.append(session_view(backend.records, session_id))
        except (NotFound, StorageError) as error:
            unreadable.append(str(error))
    return SessionPage(sessions=summaries, next=page[-1] if len(ids) > limit else None, unreadable=unreadable)


@router.get("/{session_id}", responses=answers(404, 503))
def read_session(session_id: SessionId, backend: Served) -> SessionDetails:
    """Read a session with its current clips, states and cost."""
    return details(backend, session_id)


@router.patch("/{session_id}/scenes/{scenario}", responses=answers(404, 503))
def change_scene(session_id: SessionId, scenario: Scenario, asked: ScenePatch, backend: Served) -> SessionDetails:
    """Change a scene's description for later jobs; what was bought stays. Null takes an optional field away."""

    def change(session: Session) -> Session:
        with naming("scenario", "path"):
            before = described(session, scenario)
        scene = _changed(before, asked)
        with naming(str(scenario)):
            check_scene(backend, session, scene)
        scenes = [scene if each.scenario == scenario else each for each in session.scene_descriptions]
        return session.model_copy(update={"scene_descriptions": scenes})

    stored_session(backend, session_id, "path")
    backend.records.update_session(session_id, change)
    return details(backend, session_id)


def described(session: Session, scenario: Scenario) -> SceneDescription:
    """Return a scene's description, or raise NotFound."""
    try:
        return session.scene(scenario)
    except InputError as error:
        raise NotFound(str(error)) from None


def details(backend: Backend, session_id: str) -> SessionDetails:
    """Return a session as the API shows it."""
    session = stored_session(backend, session_id, "path")
    summary = session_view(backend.records, session_id)
    return SessionDetails.model_validate({**session.model_dump(), **summary.model_dump()})


def _create(backend: Backend, session: Session, made_by: str | None) -> None:
    new = Session.model_validate({**session.model_dump(), **({MADE_BY: made_by} if made_by else {})})
    stored, created = backend.records.create_session(new)
    if created:
        return
    earlier = (stored.model_extra or {}).get(MADE_BY)
    if made_by is None or earlier is None:
        detail = f"session {session.session_id!r} exists already: choose another id, or change its scenes by PATCH"
        blamed = FieldProblem(field="session_id", place="body", detail=detail)
        raise Refusal(409, "taken", detail, errors=[blamed])
    if earlier != made_by:
        raise another_body()


def _changed(scene: SceneDescription, asked: ScenePatch) -> SceneDescription:
    try:
        return SceneDescription.model_validate({**scene.model_dump(), **asked.model_dump(exclude_unset=True)})
    except ValidationError as error:
        found = [
            FieldProblem(field=".".join(map(str, item["loc"])), place="body", detail=item["msg"])
            for item in error.errors()
        ]
        detail = "; ".join(f"{each.field}: {each.detail}" for each in found)
        raise Refusal(422, InputError.code, detail, errors=found) from None
