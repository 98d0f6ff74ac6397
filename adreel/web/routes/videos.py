"""Jobs over HTTP: start, follow, regenerate a scene, resume, cancel."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from adreel.errors import NotFound
from adreel.models.api import (
    State,
    VideoGenerationRequest,
    VideoGenerationResponse,
    VideoRegenerateRequest,
    VideoRegenerateResponse,
    VideoSceneStatus,
    VideoStatusResponse,
)
from adreel.models.sessions import ID_PATTERN
from adreel.models.takes import Job
from adreel.purchase.jobs import end_job, end_jobs_of_run, open_scenes
from adreel.web.backend import Backend, Served
from adreel.web.idempotency import ScopedKey
from adreel.web.openapi import COSTS, answers
from adreel.web.problems import Refusal
from adreel.web.starting import check_scenes, start_once
from adreel.web.threads import run_in_threadpool

POLL_SECONDS = 0.5
JobId = Annotated[str, Path(pattern=ID_PATTERN, examples=["3097ff71-41eb-4f32-87bb-83b77b4d2311"])]

router = APIRouter(prefix="/api/videos", tags=["videos"])


@router.post("/generate-scenes", status_code=202, responses=answers(404, *COSTS))
async def generate_scenes(asked: VideoGenerationRequest, backend: Served, key: ScopedKey) -> VideoGenerationResponse:
    """Start a job for a stored session: one clip for each scene.

    Without an Idempotency-Key every call buys. After a 503 the job may have been started or not: ask again with the
    same key.
    """
    parameters = asked.model_dump(mode="json", exclude_none=True)
    run = await start_once(
        backend,
        "generate",
        parameters,
        key=key,
        check=lambda: check_scenes(backend, asked.session_id, asked.scenarios, "scenarios"),
    )
    scenes = len(set(asked.scenarios)) if asked.scenarios else 4
    return VideoGenerationResponse(
        success=True, message=f"Video generation started for {_scenes(scenes)}", job_id=run.run_id
    )


@router.get("/status/{job_id}", responses=answers(404, 503))
async def status(job_id: JobId, backend: Served) -> VideoStatusResponse:
    """Say how far a job and its scenes are.

    Read from the records in storage; Prefect is asked only until the job's run has begun.
    """
    return await backend.statuses.read(job_id)


@router.post("/regenerate-scene", status_code=202, responses=answers(404, *COSTS))
async def regenerate_scene(
    asked: VideoRegenerateRequest,
    backend: Served,
    key: ScopedKey,
    request: Request,
    response: Response,
    *,
    wait: Annotated[bool, Query(description="Answer when the clip is stored or has failed")] = False,
    wait_seconds: Annotated[float, Query(gt=0, le=3600, description="How long `wait` waits at most")] = 300,
) -> VideoRegenerateResponse:
    """Buy a new take of one scene; earlier takes and the other scenes stay as they are.

    Fields of the description that are sent along hold for this take only: PATCH the scene to keep them.
    """
    changes = asked.changes
    given: dict[str, Any] = changes.model_dump(mode="json", exclude_none=True)
    parameters = {"session_id": asked.session_id, "scenario": asked.scenario.value}
    run = await start_once(
        backend,
        "regenerate",
        parameters | ({"changes": given} if given else {}),
        key=key,
        check=lambda: check_scenes(backend, asked.session_id, [asked.scenario], "scenario", changes),
    )
    scene = await _ended(backend, run.run_id, wait_seconds, request) if wait else None
    response.status_code = 200 if scene else 202
    return _regenerated(run.run_id, asked, scene)


@router.post("/resume/{job_id}", status_code=202, responses=answers(404, 409, *COSTS))
async def resume(job_id: JobId, backend: Served, key: ScopedKey) -> VideoGenerationResponse:
    """Resume a job: fetch the clips that Runware has accepted, buy the others.

    Failed attempts are repeated within ADREEL_ATTEMPTS.

    The answer's `job_id` is that of the resume: its status shows the same scenes, until they are home or given up.
    """
    run = await start_once(backend, "resume", {"target": job_id}, key=key, check=lambda: _check_open(backend, job_id))
    return VideoGenerationResponse(success=True, message=f"Resume of job {job_id} started", job_id=run.run_id)


@router.post("/cancel/{job_id}", status_code=202, responses=answers(404, 409, 503))
async def cancel(job_id: JobId, backend: Served) -> VideoGenerationResponse:
    """Cancel a job: nothing more is bought. Accepted clips stay open, and a resume can fetch them.

    One ad of a campaign, or of a resume of several jobs, is cancelled alone: its run goes on with the others.
    The id of a resume or of a campaign's run cancels all its jobs.
    """
    job = await run_in_threadpool(backend.records.job, job_id)
    if job is not None and job.ended_at is not None:
        raise Refusal(409, "ended", f"job {job_id} has ended already")
    run = await backend.runs.read(job.run_id if job else job_id)
    if job is None:
        if run is None:
            raise NotFound(f"no job {job_id!r}")
        if run.is_final:
            raise Refusal(409, "ended", f"job {job_id} has ended already")
    # The run may be over or unknown to this server. The record of the job can still be ended.
    is_told = (
        run is not None and not run.is_final and (job is None or job_id in {run.run_id, run.parameters.get("target")})
    )
    if run is not None and is_told:
        await backend.runs.cancel(run.run_id)
    if job is not None:
        await run_in_threadpool(end_job, backend.records, job, cancelled=True)
    elif run is not None:
        # The killed process can't write the end of its jobs. Without it they would stay busy for ever.
        await run_in_threadpool(
            end_jobs_of_run, backend.records, run.run_id, run.parameters.get("target") or run.run_id
        )
    alone = "" if is_told else "; the run that works on it goes on with others" if run and not run.is_final else ""
    return VideoGenerationResponse(success=True, message=f"Job {job_id} is being cancelled{alone}", job_id=job_id)


def _check_open(backend: Backend, job_id: str) -> None:
    job: Job | None = backend.records.job(job_id)
    if job is None:
        raise NotFound(f"no job {job_id!r}")
    if not open_scenes(backend.records, backend.settings, job_id):
        detail = f"job {job_id} has left nothing open: regenerate a scene to buy it anew"
        raise Refusal(409, "nothingOpen", detail)


async def _ended(backend: Backend, job_id: str, seconds: float, request: Request) -> VideoSceneStatus | None:
    """Return the only scene of a job once it has ended; None if the time is up, or the caller or server leaves."""
    stopping: asyncio.Event = request.app.state.stopping
    try:
        async with asyncio.timeout(seconds):
            while not stopping.is_set() and not await request.is_disconnected():
                status = await backend.statuses.recent(job_id, POLL_SECONDS)
                if status.overall_status != State.GENERATING:
                    return status.scenes[0]
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        pass
    return None


def _regenerated(job_id: str, asked: VideoRegenerateRequest, scene: VideoSceneStatus | None) -> VideoRegenerateResponse:
    if scene is None:
        message = f"Video generation started for scene {asked.scenario}"
        return VideoRegenerateResponse(success=True, message=message, job_id=job_id)
    stored = scene.status == State.COMPLETED
    message = f"Scene {asked.scenario} is stored" if stored else scene.error or f"scene {asked.scenario} has failed"
    return VideoRegenerateResponse(success=stored, message=message, job_id=job_id, video_url=scene.video_url)


def _scenes(number: int) -> str:
    return f"{number} scene{'' if number == 1 else 's'}"
