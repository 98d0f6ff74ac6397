"""Starting a run that may cost: checked before, and once for each key."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from adreel.errors import NotFound
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges, SceneDescription, Session
from adreel.orchestration.runs import Run
from adreel.purchase.request import clip_request
from adreel.web.backend import Backend
from adreel.web.idempotency import FINGERPRINT, check_same, fingerprint
from adreel.web.problems import naming
from adreel.web.threads import run_in_threadpool

DEPLOYMENTS = {
    "generate": "generate-ad/generate-ad",
    "regenerate": "regenerate-scene/regenerate-scene",
    "resume": "resume/resume",
}


async def start_once(
    backend: Backend, action: str, parameters: dict[str, Any], *, key: str | None, check: Callable[[], object]
) -> Run:
    """Start a run, or return the one that was started before under the same key.

    `check` runs in a thread before anything is started, and raises if the run would fail.
    """
    asked = fingerprint(parameters)
    with backend.in_flight.holding(key):
        # A repeat gets its first answer even if the session has changed since.
        if key is not None and (earlier := await backend.runs.find(key)):
            check_same(earlier, asked)
            return earlier
        await run_in_threadpool(check)
        # Prefect's client repeats a request whose answer is lost: without a key that would start two runs.
        run = await backend.runs.start(
            DEPLOYMENTS[action], parameters, key=key or f"api-{uuid4()}", labels={FINGERPRINT: asked}
        )
        check_same(run, asked)
        return run


def stored_session(backend: Backend, session_id: str, place: str = "body") -> Session:
    """Return a session; the problem of one that is missing names the field."""
    with naming("session_id", place):
        try:
            return backend.records.session(session_id)
        except NotFound:
            raise NotFound(f"no session {session_id!r}: POST /api/sessions makes one") from None


def check_scenes(
    backend: Backend, session_id: str, scenarios: list[Scenario] | None, field: str, changes: SceneChanges | None = None
) -> None:
    """Raise a refusal if scenes of a session can't be bought as they are described."""
    session = stored_session(backend, session_id)
    with naming(field):
        for scenario in session.choose(scenarios):
            check_scene(backend, session, (changes or SceneChanges()).applied_to(session.scene(scenario)))


def check_scene(backend: Backend, session: Session, scene: SceneDescription) -> None:
    """Raise InputError if a scene can't be bought as it is described.

    A first frame may lie where only the generating machine can read it: it is left to that.
    """
    clip_request(session, scene.model_copy(update={"first_frame": None}), backend.settings)
