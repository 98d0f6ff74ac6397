"""The use cases of jobs: start, resume and cancel them, and read their status."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from adreel.cut.planning import plan_cut
from adreel.errors import BadRecord, InputError, JobEnded, NotFound, NothingChanged, NothingOpen, RequestInFlight
from adreel.models.api import (
    CutStatus,
    State,
    VideoGenerationRequest,
    VideoRegenerateRequest,
    VideoResumeRequest,
    VideoSceneStatus,
    VideoStatusResponse,
)
from adreel.models.cut_settings import CutOptions
from adreel.models.cuts import Cut, CutView
from adreel.models.parts import PARTS, Part
from adreel.models.scenarios import Scenario
from adreel.models.spend import to_micros
from adreel.orchestration.errors import without_prefix
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.purchase.jobs import ALL, cancel_job, end_jobs_of_run, open_scenes
from adreel.purchase.quotes import Quote, hold_quote, quote_parts, quote_resume
from adreel.records import Records
from adreel.records.views import cut_view, job_status
from adreel.service.orders import changed_parts
from adreel.service.sessions import SessionService, errors_of_field, fingerprint_of, key_reused
from adreel.settings import Settings
from adreel.spend.budgets import Budgets

if TYPE_CHECKING:
    # Prefect takes seconds to import, and most commands do without it.
    from adreel.orchestration.runs import Run, Runs

FINGERPRINT = "adreel.request"
"""Label of a flow run: the fingerprint of the request that started it."""

KIND = "adreel.kind"
"""Label of a flow run: whether it makes clips, a finished ad or the ads of a campaign."""
CLIPS, CUT, CAMPAIGN = "clips", "cut", "campaign"

LIMITS = {"max_cost", "clip_price"}
"""Fields of a request that are about money."""

HOLD = "adreel.hold"
"""Label of a flow run: the mark under which the request that started it holds its money."""


@dataclass(frozen=True)
class Service(SessionService):
    """The use cases of one storage and one Prefect server. It keeps no state that can't be lost.

    `key` is an idempotency key: a repeated request with the same key gets the first result and buys nothing. It is the
    idempotency key of the flow run in Prefect, so it holds on every server, for as long as Prefect keeps the run.
    """

    runs: "Runs"
    _in_flight: set[str] = field(default_factory=set)
    """Keys whose first request this server is working on."""

    @classmethod
    def of(cls, settings: Settings, runs: "Runs") -> "Service":
        """Open the storage of the settings."""
        return cls(Records.of(settings), settings, runs)

    async def cut(self, session_id: str, options: CutOptions, *, key: str | None = None) -> "Run | CutView":
        """Start a run that makes the finished ad of a session, or return the ad if it is made already."""

        def check() -> None:
            self.session(session_id)
            with errors_of_field("session_id"):
                planned = plan_cut(self.records, session_id, options)
            if planned.made:
                raise _CutExists(planned.made)

        parameters = {
            "session_id": session_id,
            **options.model_dump(mode="json", exclude_defaults=True, exclude_none=True),
        }
        try:
            return await self.start_run("cut-ad/cut-ad", parameters, key, check, kind=CUT)
        except _CutExists as found:
            return cut_view(found.cut, is_stale=False)

    async def generate(self, request: VideoGenerationRequest, *, key: str | None = None) -> "Run":
        """Start a job for a stored session."""
        parameters = request.model_dump(mode="json", exclude_none=True, exclude={"only_changed"})
        fingerprint = fingerprint_of({**parameters, "only_changed": True} if request.only_changed else parameters)
        limits = request.model_dump(include=LIMITS)

        def check() -> Quote:
            session = self.session(request.session_id)
            session.check_buyable()
            try:
                parts = session.choose(request.scenarios)
                if request.only_changed:
                    parts = changed_parts(self.records, self.settings, session, parts)
                if parts != list(Scenario):
                    parameters["scenarios"] = [part.value for part in parts]
                quote = quote_parts(self.records, self.settings, session, parts, **limits)
            except InputError as error:
                # The request has no other field: the wrong one is in the stored session.
                raise InputError(str(error), {"scenarios": str(error)}) from None
            if not parts:
                raise NothingChanged(f"everything that was asked for is bought already: session {request.session_id}")
            return quote

        return await self.start_run("generate-ad/generate-ad", parameters, key, check, fingerprint=fingerprint)

    async def regenerate(self, request: VideoRegenerateRequest, *, key: str | None = None) -> "Run":
        """Start a job that buys a new take of one part."""
        changes = request.changes
        parameters: dict[str, Any] = {"session_id": request.session_id, "scenario": request.scenario.value}
        if given := changes.model_dump(mode="json", exclude_none=True):
            parameters["changes"] = given
        limits = request.model_dump(include=LIMITS)
        parameters |= {name: usd for name, usd in limits.items() if usd is not None}

        def check() -> Quote:
            session = self.session(request.session_id)
            session.check_buyable()
            self._check_inputs(request.session_id, changes)
            with errors_of_field("scenario"):
                parts = session.choose([request.scenario])
                return quote_parts(self.records, self.settings, session, parts, changes, **limits)

        return await self.start_run("regenerate-scene/regenerate-scene", parameters, key, check)

    async def resume(self, job_id: str, request: VideoResumeRequest | None = None, *, key: str | None = None) -> "Run":
        """Start a resume of a job, perhaps with other limits. Raises NothingOpen if all its scenes are settled."""
        limits = request.model_dump(exclude_none=True) if request else {}

        def check() -> Quote | None:
            job = self.records.job(job_id)
            if job is None:
                raise NotFound(f"no job {job_id!r}")
            if not open_scenes(self.records, self.settings, job_id):
                raise NothingOpen(f"job {job_id} has no open scenes: regenerate a scene to buy another take")
            changed = job.model_copy(update={name: to_micros(usd) for name, usd in limits.items()})
            quote = quote_resume(self.records, self.settings, changed)
            if quote:
                # No clip of the job is open, so the resume would only buy. It needs no readable session otherwise.
                with suppress(NotFound, BadRecord):
                    self.records.session(job.session_id).check_buyable()
            return quote

        return await self.start_run("resume/resume", {"target": job_id, **limits}, key, check)

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
            await run_in_threadpool(cancel_job, self.records, job)
        elif run is None:
            raise NotFound(f"no job {job_id!r}")
        elif not is_running:
            raise JobEnded(f"job {job_id} has already ended")
        else:
            # The killed process can't write the end of its jobs. Without it they would stay busy for ever.
            target = run.parameters.get("target") or run.run_id
            await run_in_threadpool(partial(end_jobs_of_run, cancelled=True), self.records, run.run_id, target)
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

    async def start_run(
        self,
        deployment: str,
        parameters: dict[str, Any],
        key: str | None,
        check: Callable[[], Quote | None],
        *,
        kind: str = CLIPS,
        fingerprint: str = "",
    ) -> "Run":
        """Start a run, or return the run that was started before under the same key.

        `check` raises if the run would fail, and returns what it would buy. It runs in a thread, before anything is
        started. Raises OverBudget if there is too little money for that. `fingerprint` is that of the request, by
        default that of the parameters.
        """
        if key in self._in_flight:
            # On another server the second request goes through: Prefect gives both the same run.
            raise RequestInFlight("the first request with this key is still in flight: retry later")
        fingerprint = fingerprint or fingerprint_of(parameters)
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
            raise key_reused()
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
            cut = CutStatus(status=_final_state(run), progress=0, error=reason_of(run))
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


def _final_state(run: "Run") -> State:
    """Return the state of a run that has ended without what it was to make."""
    return State.CANCELLED if run.state == "Cancelled" else State.FAILED


def _status_of_run(run: "Run") -> VideoStatusResponse:
    """Return the status of a run that has written nothing (yet)."""
    if not (run.parameters.get("session_id") or run.parameters.get("session")):
        raise NotFound(f"{run.run_id} is a flow run without a job")
    state, error = State.GENERATING, None
    if run.is_final:
        state = _final_state(run)
        error = f"its run ended as {run.state} before it bought anything" + (f": {run.message}" if run.message else "")
        if run.state == "Completed":
            error = "its run ended, but nothing is in this storage: do the worker and the server share ADREEL_STORAGE?"
    asked = run.parameters.get("scenarios") or [run.parameters.get("scenario")]
    scenarios: list[Part] = [part for part in PARTS if part.value in asked] or list(Scenario)
    scenes = [VideoSceneStatus(scenario=scenario, status=state, progress=0, error=error) for scenario in scenarios]
    return VideoStatusResponse(job_id=run.run_id, overall_status=state, scenes=scenes)
