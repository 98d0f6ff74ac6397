"""The use cases: create and change sessions, start, resume and cancel jobs, read their status, choose takes.

The HTTP API and the storyboard call them through `Service`; its synchronous methods block on the storage.
"""

import hashlib
import json
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import ValidationError

from adreel.catalog.selection import Needs
from adreel.catalog.stored import load_catalog
from adreel.cut.planning import plan_cut
from adreel.errors import (
    InputError,
    JobEnded,
    KeyReused,
    NotFound,
    NothingOpen,
    RequestInFlight,
    SessionExists,
)
from adreel.models.api import (
    CutStatus,
    ModelList,
    ScenePatch,
    SessionCreate,
    SessionDetails,
    SessionPatch,
    State,
    StoredInput,
    TakeView,
    VideoGenerationRequest,
    VideoRegenerateRequest,
    VideoSceneStatus,
    VideoStatusResponse,
)
from adreel.models.cut_settings import CutOptions
from adreel.models.cuts import Cut, CutList, CutView
from adreel.models.scenarios import Scenario
from adreel.models.sessions import (
    INPUT_PATTERN,
    ImageInputs,
    RenderOptions,
    SceneDescription,
    Session,
    refuse_files_of_cut,
    replacing,
)
from adreel.models.spend import Price
from adreel.models.takes import ClipRequest
from adreel.orchestration.errors import without_prefix
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.purchase.jobs import ALL, end_job, end_jobs_of_run, open_scenes
from adreel.purchase.offers import list_models
from adreel.purchase.planning import plan_requests
from adreel.purchase.quotes import Quote, hold_quote, quote_resume, quote_scenes
from adreel.purchase.request import clip_request
from adreel.records import Records, StoredSession
from adreel.records.cut_inputs import check_files_of_cut, copy_files_of_cut
from adreel.records.inputs import (
    InputImage,
    copy_input,
    copy_inputs,
    display_name,
    has_input,
    parse_image,
    read_input,
)
from adreel.records.views import (
    choose_take,
    current_take,
    cut_view,
    cut_views,
    input_url,
    job_status,
    session_view,
    take_view,
)
from adreel.settings import Settings
from adreel.spend.accounts import Order
from adreel.spend.budgets import Budgets, BudgetView
from adreel.spend.prices import of_emulator, price

if TYPE_CHECKING:
    # Prefect takes seconds to import, and most commands do without it.
    from adreel.orchestration.runs import Run, Runs

IDEMPOTENCY_KEY = "Idempotency-Key"
FINGERPRINT = "adreel.request"
"""Label of a flow run: the fingerprint of the request that started it."""

KIND = "adreel.kind"
"""Label of a flow run: whether it makes clips or a finished ad."""
CLIPS, CUT = "clips", "cut"

LIMITS = {"max_cost", "clip_price"}
"""Fields of a request that are about money."""

HOLD = "adreel.hold"
"""Label of a flow run: the mark under which the request that started it holds its money."""

MADE_BY = "made_by_request"
"""Field of a stored session: the fingerprint of the request that created it under an idempotency key."""


def store_for_generation(
    records: Records,
    settings: Settings,
    session: Session,
    scenarios: list[Scenario] | None,
    *,
    override_hint: str | None,
    campaign: str | None = None,
) -> dict[Scenario, ClipRequest]:
    """Store a complete session whose scenes are to be bought, in place of an earlier version.

    Returns the scenarios to buy with their requests. Raises InputError before anything is written if a scene can't be
    bought as described or has been bought before. `override_hint` tells a person how to buy all scenes again; None
    skips that check.
    """
    requests = plan_requests(session, session.choose(scenarios), settings, records.storage)
    check_files_of_cut(session.cut)
    earlier = records.take_ids(session.session_id)
    taken = [
        str(scenario)
        for scenario in requests
        if earlier[scenario]
        and any(take.state != State.FAILED or take.is_open for take in records.takes(session.session_id, scenario))
    ]
    if taken and override_hint is not None:
        raise InputError(
            f"session {session.session_id!r} has takes of {', '.join(taken)} already (adreel status"
            f" {session.session_id}): resume what is open with `adreel resume {session.session_id}`, buy one scene"
            f" again with `adreel regenerate {session.session_id} {taken[0]}`, or all of them with {override_hint}"
        )
    stored = copy_files_of_cut(records.storage, copy_inputs(records.storage, session, requests))
    records.save_session(stored, campaign)
    return requests


@dataclass(frozen=True)
class Service:
    """The use cases of one storage and one Prefect server. It keeps no state that can't be lost.

    `key` is an idempotency key: a repeated request with the same key gets the first result and buys nothing. It is the
    idempotency key of the flow run in Prefect, so it holds on every server, for as long as Prefect keeps the run.
    """

    records: Records
    settings: Settings
    runs: "Runs"
    _in_flight: set[str] = field(default_factory=set)
    """Keys whose first request this server is working on."""

    @classmethod
    def of(cls, settings: Settings, runs: "Runs") -> "Service":
        """Open the storage of the settings."""
        return cls(Records.of(settings), settings, runs)

    # Sessions

    def create_session(
        self, new: SessionCreate, *, key: str | None = None, images: Sequence[InputImage] = ()
    ) -> SessionDetails:
        """Store a new session and the images that it names; its id is generated if none is given.

        Raises SessionExists or KeyReused.
        """
        values = new.model_dump()
        made_by = None
        if key is not None:
            has_id = "session_id" in new.model_fields_set
            made_by = _fingerprint(new.model_dump(mode="json", exclude=None if has_id else {"session_id"}))
            if not has_id:
                values["session_id"] = f"ad-{key.removeprefix('api-')[:16]}"
            values[MADE_BY] = made_by
        session = Session.model_validate(values)
        new_inputs = {image.reference for image in images}
        self._check_inputs(session.session_id, session, known=new_inputs)
        if session.cut:
            refuse_files_of_cut(session.cut, "the session")
        for scene in session.scene_descriptions:
            place = f"scene_descriptions.{scene.scenario}."
            self._check_inputs(session.session_id, scene, place, known=new_inputs)
        self._check_session(session)
        # They are copied before the session names them. A session that exists already keeps its inputs.
        try:
            if images:
                self.records.session(session.session_id)
        except NotFound:
            for image in images:
                copy_input(self.records.storage, session.session_id, image)
        stored, is_new = self.records.create_session(session)
        earlier = (stored.model_extra or {}).get(MADE_BY)
        if not is_new and (made_by is None or earlier is None):
            detail = f"session {session.session_id!r} exists already: choose another id, or change its scenes by PATCH"
            raise SessionExists(detail, {"session_id": detail})
        if not is_new and earlier != made_by:
            raise _key_reused()
        return self.session_details(session.session_id)

    def session(self, session_id: str) -> StoredSession:
        """Return a stored session, or raise NotFound."""
        with _errors_of_field("session_id"):
            try:
                return self.records.session(session_id)
            except NotFound:
                raise NotFound(f"no session {session_id!r}: POST /api/sessions creates one") from None

    def session_details(self, session_id: str) -> SessionDetails:
        """Return a session with its current clips, states and cost."""
        session = self.session(session_id)
        summary = session_view(self.records, session_id)
        return SessionDetails.model_validate({**session.model_dump(), **summary.model_dump()})

    def change_session(self, session_id: str, patch: SessionPatch) -> SessionDetails:
        """Change what the scenes of a session have in common, for later jobs. Null removes a field."""

        def change(session: Session) -> Session:
            changed = session.model_copy(update=replacing(patch.model_dump(exclude_unset=True)))
            self._check_session(changed)
            return changed

        self.session(session_id)
        self._check_inputs(session_id, patch)
        self.records.update_session(session_id, change)
        return self.session_details(session_id)

    def change_scene(self, session_id: str, scenario: Scenario, patch: ScenePatch) -> SessionDetails:
        """Change a scene's description for later jobs. Null removes an optional field."""

        def change(session: Session) -> Session:
            before = _scene_of(session, scenario)
            changes = replacing(patch.model_dump(exclude_unset=True))
            try:
                scene = SceneDescription.model_validate({**before.model_dump(), **changes})
            except ValidationError as error:
                fields = {".".join(map(str, item["loc"])): item["msg"] for item in error.errors()}
                raise InputError("; ".join(f"{name}: {why}" for name, why in fields.items()), fields) from None
            with _errors_of_field(str(scenario)):
                self._check_scene(session, scene)
            scenes = [scene if each.scenario == scenario else each for each in session.scene_descriptions]
            return session.model_copy(update={"scene_descriptions": scenes})

        self.session(session_id)
        self._check_inputs(session_id, patch)
        self.records.update_session(session_id, change)
        return self.session_details(session_id)

    # Models

    def list_models(self, needs: Needs) -> ModelList:
        """Return the models of the catalogue that offer what is needed, the cheapest first."""
        return list_models(load_catalog(self.records.storage), needs)

    # Inputs

    def add_input(self, session_id: str, content: bytes, name: str) -> StoredInput:
        """Store an image as an input of a session. The same image is stored once."""
        self.session(session_id)
        with _errors_of_field("file"):
            image = parse_image(content, name, f"the file {name!r}", scales=False)
        reference = copy_input(self.records.storage, session_id, image)
        width, height = image.size
        return StoredInput(input=reference, url=input_url(session_id, reference), width=width, height=height)

    def read_input(self, session_id: str, file: str) -> bytes:
        """Return the bytes of an input of a session, or raise NotFound."""
        try:
            return read_input(self.records.storage, session_id, f"inputs/{file}")
        except InputError:
            raise NotFound(f"session {session_id!r} has no such input", {"file": "no such input"}) from None

    # Takes

    def list_takes(self, session_id: str, scenario: Scenario) -> list[TakeView]:
        """Return every take of a scene, the oldest first."""
        _scene_of(self.session(session_id), scenario)
        takes = self.records.takes(session_id, scenario)
        current = current_take(takes, self.records.choices(session_id))
        return [take_view(take, is_current=take == current) for take in takes]

    def choose_take(self, session_id: str, scenario: Scenario, name: str) -> TakeView:
        """Make a stored take the current one of its scene."""
        _scene_of(self.session(session_id), scenario)
        with _errors_of_field("take"):
            return take_view(choose_take(self.records, session_id, scenario, name), is_current=True)

    # Cuts

    def cuts(self, session_id: str) -> CutList:
        """Return the cuts of a session, the newest first, and whether each is stale."""
        self.session(session_id)
        return CutList(cuts=cut_views(self.records, session_id))

    async def cut(self, session_id: str, options: CutOptions, *, key: str | None = None) -> "Run | CutView":
        """Start a run that makes the finished ad of a session, or return the ad if it is made already."""

        def check() -> None:
            self.session(session_id)
            with _errors_of_field("session_id"):
                planned = plan_cut(self.records, session_id, options)
            if planned.made:
                raise _CutExists(planned.made)

        parameters = {
            "session_id": session_id,
            **options.model_dump(mode="json", exclude_defaults=True, exclude_none=True),
        }
        try:
            return await self._start("cut-ad/cut-ad", parameters, key, check, CUT)
        except _CutExists as found:
            return cut_view(found.cut, is_stale=False)

    # Jobs

    async def generate(self, request: VideoGenerationRequest, *, key: str | None = None) -> "Run":
        """Start a job for a stored session."""
        parameters, limits = request.model_dump(mode="json", exclude_none=True), request.model_dump(include=LIMITS)

        def check() -> Quote:
            session = self.session(request.session_id)
            try:
                scenes = [session.scene(scenario) for scenario in session.choose(request.scenarios)]
                return quote_scenes(self.records, self.settings, session, scenes, **limits)
            except InputError as error:
                # The request has no other field: the wrong one is in the stored session.
                raise InputError(str(error), {"scenarios": str(error)}) from None

        return await self._start("generate-ad/generate-ad", parameters, key, check)

    async def regenerate(self, request: VideoRegenerateRequest, *, key: str | None = None) -> "Run":
        """Start a job that buys a new take of one scene."""
        changes = request.changes
        parameters: dict[str, Any] = {"session_id": request.session_id, "scenario": request.scenario.value}
        if given := changes.model_dump(mode="json", exclude_none=True):
            parameters["changes"] = given
        limits = request.model_dump(include=LIMITS)
        parameters |= {name: usd for name, usd in limits.items() if usd is not None}

        def check() -> Quote:
            session = self.session(request.session_id)
            self._check_inputs(request.session_id, changes)
            with _errors_of_field("scenario"):
                scene = changes.applied_to(session.scene(request.scenario))
                return quote_scenes(self.records, self.settings, session, [scene], **limits)

        return await self._start("regenerate-scene/regenerate-scene", parameters, key, check)

    def preview(self, session: Session, scenario: Scenario) -> ClipRequest:
        """Return the request that a scene would be bought with, or raise InputError."""
        catalog = load_catalog(self.records.storage)
        return clip_request(session, session.scene(scenario), self.settings, catalog, checks_files=False)

    def price(self, request: ClipRequest) -> Price:
        """Return what a clip is expected to cost."""
        found = price(request, self.records.storage)
        return of_emulator(found) if self.settings.is_local else found

    def budgets_of(self, session: StoredSession) -> list[BudgetView]:
        """Return the budgets that count what is bought for a session."""
        order = Order(session.session_id, "", (), campaign=session.campaign)
        return [view for view in Budgets(self.records).views() if order.is_within(view.name)]

    async def resume(self, job_id: str, *, key: str | None = None) -> "Run":
        """Start a resume of a job. Raises NothingOpen if all its scenes are settled."""

        def check() -> Quote | None:
            job = self.records.job(job_id)
            if job is None:
                raise NotFound(f"no job {job_id!r}")
            if not open_scenes(self.records, self.settings, job_id):
                raise NothingOpen(f"job {job_id} has no open scenes: regenerate a scene to buy another take")
            return quote_resume(self.records, self.settings, job)

        return await self._start("resume/resume", {"target": job_id}, key, check)

    async def cancel(self, job_id: str) -> bool:
        """Cancel a job, or all jobs of a run; returns whether the job's run continues with other jobs.

        Raises JobEnded. Clips that Runware has accepted stay open for a resume.
        """
        job = await run_in_threadpool(self.records.job, job_id)
        if job is not None and job.ended_at is not None:
            raise JobEnded(f"job {job_id} has already ended")
        run = await self.runs.read(job.run_id if job else job_id)
        # The run may be over or unknown to Prefect. The record of the job can still be ended.
        is_running = run is not None and not run.is_final
        is_cancelled = False
        if run is not None and is_running:
            is_cancelled = job is None or job_id in {run.run_id, run.parameters.get("target")}
            if is_cancelled:
                await self.runs.cancel(run.run_id)
        if job is not None:
            await run_in_threadpool(end_job, self.records, job, cancelled=True)
        elif run is None:
            raise NotFound(f"no job {job_id!r}")
        elif not is_running:
            raise JobEnded(f"job {job_id} has already ended")
        else:
            # The killed process can't write the end of its jobs. Without it they would stay busy for ever.
            target = run.parameters.get("target") or run.run_id
            await run_in_threadpool(end_jobs_of_run, self.records, run.run_id, target)
            if HOLD in run.labels:
                await run_in_threadpool(Budgets(self.records).release_request, run.key)
        return is_running and not is_cancelled

    async def status(self, job_id: str) -> VideoStatusResponse:
        """Return the status of a job, or raise NotFound or PrefectUnreachable.

        A job's record is written when its run begins. Prefect is asked only before that, and for the run of a resume,
        which has no record of its own.
        """
        if recorded := await run_in_threadpool(self._recorded_status, job_id):
            return recorded
        run = await self.runs.read(job_id)
        if run is None:
            raise NotFound(f"no job {job_id!r}")
        if run.labels.get(KIND) == CUT:
            return await self._status_of_cut(run)
        if isinstance(target := run.parameters.get("target"), str):
            return await run_in_threadpool(self._status_of_resume, run, target)
        # The run may have written its record and ended since the first read.
        if run.is_final and (recorded := await run_in_threadpool(self._recorded_status, job_id)):
            return recorded
        return _status_of_run(run)

    async def is_run_of(self, run_id: str, session_id: str) -> bool:
        """Whether a run that has not recorded a job is about a session."""
        run = await self.runs.read(run_id)
        if run is None:
            return False
        if isinstance(target := run.parameters.get("target"), str):
            resumed = await run_in_threadpool(self.records.job, target)
            return resumed is not None and resumed.session_id == session_id
        return run.parameters.get("session_id") == session_id

    async def _start(
        self,
        deployment: str,
        parameters: dict[str, Any],
        key: str | None,
        check: Callable[[], Quote | None],
        kind: str = CLIPS,
    ) -> "Run":
        """Start a run, or return the run that was started before under the same key.

        `check` raises if the run would fail, and returns what it would buy. It runs in a thread, before anything is
        started. Raises OverBudget if there is too little money for that.
        """
        if key in self._in_flight:
            # On another server the second request goes through: Prefect gives both the same run.
            raise RequestInFlight("the first request with this key is still in flight: retry later")
        fingerprint = _fingerprint(parameters)
        try:
            if key is not None:
                self._in_flight.add(key)
            # A repeated request gets its first answer even if the session has changed since.
            run = await self.runs.find(key) if key is not None else None
            if run is None:
                # Prefect's client repeats a request whose answer is lost: without a key that would start two runs.
                run_key = key or f"api-{uuid4()}"
                labels = {FINGERPRINT: fingerprint, KIND: kind}
                run = await self._start_held(deployment, parameters, run_key, labels, check)
        finally:
            if key is not None:
                self._in_flight.discard(key)
        if run.labels.get(FINGERPRINT) != fingerprint:
            raise _key_reused()
        return run

    async def _start_held(
        self,
        deployment: str,
        parameters: dict[str, Any],
        key: str,
        labels: dict[str, str],
        check: Callable[[], Quote | None],
    ) -> "Run":
        """Start a run with its money held; the run's job takes the hold over."""

        def admit() -> str | None:
            quote = check()
            return hold_quote(self.records, key, quote) if quote else None

        mark = await run_in_threadpool(admit)
        if mark is None:
            return await self.runs.start(deployment, parameters, key=key, labels=labels)
        started = None
        try:
            run = await self.runs.start(deployment, parameters, key=key, labels={**labels, HOLD: mark})
            started = run.labels.get(HOLD)
        finally:
            # No run was started, or another request with this key has started it. Should one start after all, it
            # reserves by itself.
            if started != mark:
                await run_in_threadpool(Budgets(self.records).release_request, key, mark)
        return run

    def _check_session(self, session: Session) -> None:
        """Raise InputError with the place of each field for which a scene can't be bought."""
        reasons, fields = dict[str, str](), dict[str, str]()
        for scene in session.scene_descriptions:
            try:
                self._check_scene(session, scene)
            except InputError as error:
                # A reason that applies to each scene is named once.
                reasons.setdefault("; ".join(error.fields.values()) or str(error), str(error))
                for name, reason in (error.fields or {"": str(error)}).items():
                    fields[_place(session, scene, name)] = reason
        if reasons:
            raise InputError("; ".join(reasons.values()), fields)

    def _check_scene(self, session: Session, scene: SceneDescription) -> None:
        """Raise InputError if a scene can't be bought as described.

        Local images are not opened: they may be files that only the machine of the worker can read.
        """
        clip_request(session, scene, self.settings, load_catalog(self.records.storage), checks_files=False)

    def _check_inputs(
        self, session_id: str, images: ImageInputs, place: str = "", *, known: Container[str] = ()
    ) -> None:
        """Raise InputError if a request names an input that the session does not have."""
        for name, image in images.named_images():
            if image in known:
                continue
            if INPUT_PATTERN.fullmatch(image) and not has_input(self.records.storage, session_id, image):
                reason = f"the image {display_name(image)!r} is not among the inputs of this session: upload it first"
                raise InputError(f"{place}{name}: {reason}", {f"{place}{name}": reason})

    def _recorded_status(self, job_id: str) -> VideoStatusResponse | None:
        try:
            return job_status(self.records, job_id)
        except NotFound:
            return None

    async def _status_of_cut(self, run: "Run") -> VideoStatusResponse:
        if not run.is_final:
            progress, step = await self.runs.progress_of_cut(run.run_id)
            cut = CutStatus(status=State.GENERATING, progress=progress, step=step.rpartition(": ")[2])
        elif run.state == "Completed":
            cut = CutStatus(status=State.COMPLETED, progress=100)
        else:
            cut = CutStatus(status=State.FAILED, progress=0, error=reason_of(run))
        return VideoStatusResponse(job_id=run.run_id, overall_status=cut.status, scenes=[], cut=cut)

    def _status_of_resume(self, run: "Run", target: str) -> VideoStatusResponse:
        if target == ALL or (status := self._recorded_status(target)) is None:
            raise NotFound(f"{run.run_id} is a resume of {target!r}, not of a single job")
        if run.is_final:
            return status.model_copy(update={"job_id": run.run_id})
        busy = {scenario for _, scenes in open_scenes(self.records, self.settings, target) for scenario in scenes}
        resumed = {"status": State.GENERATING, "error": None}
        scenes = [scene.model_copy(update=resumed) if scene.scenario in busy else scene for scene in status.scenes]
        return VideoStatusResponse(job_id=run.run_id, overall_status=State.GENERATING, scenes=scenes)


class _CutExists(Exception):
    """Ends the start of a run that would make a cut again."""

    def __init__(self, cut: Cut) -> None:
        super().__init__(cut.cut_id)
        self.cut = cut


def reason_of(run: "Run") -> str:
    """Return why a run has not completed, without the words that Prefect puts in front."""
    return without_prefix(run.message) or f"its run ended as {run.state}"


@contextmanager
def _errors_of_field(name: str) -> Iterator[None]:
    """Name a field of the request in the InputErrors of the block that name none."""
    try:
        yield
    except InputError as error:
        error.fields = error.fields or {name: str(error)}
        raise


def _place(session: Session, scene: SceneDescription, name: str) -> str:
    """Return the place of a scene's field in its session; the session's own field if the value is its default."""
    option = name.partition(".")[0]
    if option in RenderOptions.model_fields and getattr(scene, option) is None and getattr(session, option) is not None:
        return name
    return f"scene_descriptions.{scene.scenario}.{name}".removesuffix(".")


def _scene_of(session: Session, scenario: Scenario) -> SceneDescription:
    try:
        return session.scene(scenario)
    except InputError as error:
        raise NotFound(str(error), {"scenario": str(error)}) from None


def _status_of_run(run: "Run") -> VideoStatusResponse:
    """Return the status of a run that has written nothing (yet)."""
    if not (run.parameters.get("session_id") or run.parameters.get("session")):
        raise NotFound(f"{run.run_id} is a flow run without a job")
    state, error = State.GENERATING, None
    if run.is_final:
        state = State.FAILED
        error = f"its run ended as {run.state} before it bought anything" + (f": {run.message}" if run.message else "")
        if run.state == "Completed":
            error = "its run ended, but nothing is in this storage: do the worker and the server share ADREEL_STORAGE?"
    asked = run.parameters.get("scenarios") or [run.parameters.get("scenario")]
    scenarios = [scenario for scenario in Scenario if scenario.value in asked] or list(Scenario)
    scenes = [VideoSceneStatus(scenario=scenario, status=state, progress=0, error=error) for scenario in scenarios]
    return VideoStatusResponse(job_id=run.run_id, overall_status=state, scenes=scenes)


def _key_reused() -> KeyReused:
    detail = "this key was used before with another body: use a new key for a new request"
    return KeyReused(detail, {IDEMPOTENCY_KEY: detail})


def _fingerprint(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
