"""The status of a job, from its records; Prefect is asked only while there are none.

A job's record is written when its run begins. Before that, and for the run of a resume, which has no record of its
own, Prefect says what the run is about and whether it has ended.
"""

import asyncio
import time
from dataclasses import dataclass

from adreel.errors import NotFound
from adreel.models.api import State, VideoSceneStatus, VideoStatusResponse
from adreel.models.scenarios import Scenario
from adreel.orchestration.runs import Run, Runs
from adreel.purchase.jobs import ALL, open_scenes
from adreel.records import Records
from adreel.records.views import job_status
from adreel.settings import Settings
from adreel.web.threads import run_in_threadpool

KEPT_SECONDS = 60.0


@dataclass(frozen=True)
class _Seen:
    at: float
    status: VideoStatusResponse


class Statuses:
    """Reads statuses; requests for the same job at the same moment share one reading."""

    def __init__(self, records: Records, settings: Settings, runs: Runs) -> None:
        self._records = records
        self._settings = settings
        self._runs = runs
        self._reading: dict[str, asyncio.Task[VideoStatusResponse]] = {}
        self._seen: dict[str, _Seen] = {}

    async def read(self, job_id: str) -> VideoStatusResponse:
        """Return the status of a job, or raise NotFound or PrefectUnreachable."""
        reading = self._reading.get(job_id)
        if reading is None:
            reading = asyncio.create_task(self._read(job_id))
            self._reading[job_id] = reading
            reading.add_done_callback(lambda done: self._done(job_id, done))
        return await asyncio.shield(reading)

    async def recent(self, job_id: str, seconds: float) -> VideoStatusResponse:
        """Return a status that is at most some seconds old: all who follow a job share its readings."""
        seen = self._seen.get(job_id)
        if seen is not None and time.monotonic() - seen.at < seconds:
            return seen.status
        return await self.read(job_id)

    def _done(self, job_id: str, reading: "asyncio.Task[VideoStatusResponse]") -> None:
        del self._reading[job_id]
        if reading.cancelled() or reading.exception() is not None:
            return
        now = time.monotonic()
        # The oldest stand first: a status that is read again goes to the end.
        self._seen.pop(job_id, None)
        while self._seen and now - next(iter(self._seen.values())).at > KEPT_SECONDS:
            del self._seen[next(iter(self._seen))]
        self._seen[job_id] = _Seen(now, reading.result())

    async def _read(self, job_id: str) -> VideoStatusResponse:
        if recorded := await run_in_threadpool(self._recorded, job_id):
            return recorded
        run = await self._runs.read(job_id)
        if run is None:
            raise NotFound(f"no job {job_id!r}")
        if isinstance(target := run.parameters.get("target"), str):
            return await run_in_threadpool(self._resumed, run, target)
        # Between the two questions the run may have written its record, and ended.
        recorded = await run_in_threadpool(self._recorded, job_id) if run.is_final else None
        return recorded or _unrecorded(run)

    def _recorded(self, job_id: str) -> VideoStatusResponse | None:
        try:
            return job_status(self._records, job_id)
        except NotFound:
            return None

    def _resumed(self, run: Run, target: str) -> VideoStatusResponse:
        if target == ALL or (status := self._recorded(target)) is None:
            raise NotFound(f"{run.run_id} is the resume of {target!r}, which is no single job")
        if run.is_final:
            return status.model_copy(update={"job_id": run.run_id})
        busy = {scenario for _, scenes in open_scenes(self._records, self._settings, target) for scenario in scenes}
        scenes = [_taken_up(scene) if scene.scenario in busy else scene for scene in status.scenes]
        return VideoStatusResponse(job_id=run.run_id, overall_status=State.GENERATING, scenes=scenes)


def _taken_up(scene: VideoSceneStatus) -> VideoSceneStatus:
    return scene.model_copy(update={"status": State.GENERATING, "error": None})


def _unrecorded(run: Run) -> VideoStatusResponse:
    """Return the status of a run that has written nothing (yet)."""
    state = State.FAILED if run.is_final else State.GENERATING
    reason = _why(run) if run.is_final else None
    scenes = [
        VideoSceneStatus(scenario=scenario, status=state, progress=0, error=reason) for scenario in _scenarios(run)
    ]
    return VideoStatusResponse(job_id=run.run_id, overall_status=state, scenes=scenes)


def _why(run: Run) -> str:
    if run.state == "Completed":
        return "its run ended, but nothing is in this storage: do the worker and the server share ADREEL_STORAGE?"
    return f"its run ended as {run.state} before it began to buy" + (f": {run.message}" if run.message else "")


def _scenarios(run: Run) -> list[Scenario]:
    if not (run.parameters.get("session_id") or run.parameters.get("session")):
        raise NotFound(f"{run.run_id} is a flow run, but no job")
    asked = run.parameters.get("scenarios") or [run.parameters.get("scenario")]
    return [scenario for scenario in Scenario if scenario.value in asked] or list(Scenario)
