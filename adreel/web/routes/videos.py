"""Jobs: start, follow, resume and cancel them, and regenerate a scene."""

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from adreel.models.api import (
    State,
    VideoCutRequest,
    VideoGenerationRequest,
    VideoGenerationResponse,
    VideoRegenerateRequest,
    VideoRegenerateResponse,
    VideoResumeRequest,
    VideoSceneStatus,
    VideoStatusResponse,
)
from adreel.models.cuts import CutView, VideoCutResponse
from adreel.models.parts import count_parts, find_part, label_of
from adreel.models.scenarios import Scenario
from adreel.web.dependencies import JobId, ScopedKey, ServiceDep, StatusesDep
from adreel.web.openapi import COSTS, answers
from adreel.web.status_cache import StatusCache

POLL_SECONDS = 0.5

router = APIRouter(prefix="/api/videos", tags=["videos"])


@router.post("/generate-scenes", status_code=202, responses=answers(404, *COSTS))
async def generate_scenes(body: VideoGenerationRequest, service: ServiceDep, key: ScopedKey) -> VideoGenerationResponse:
    """Start a job for a stored session: one clip for each scene, and its narrations and music if it asks for them.

    `scenarios` chooses parts: `hook` is the clip of a scene, `voice-hook` its narration, `still-hook` its still, and
    `music` is for the whole ad. With `only_changed`, 409 says that all of them are bought as they are described now.

    Without an Idempotency-Key every call buys. An ad that a budget has no money for is refused as a
    whole with 402, and nothing is started. After a 503 it is unknown whether the job was started: repeat the
    request with the same key.
    """
    run = await service.generate(body, key=key)
    bought = [find_part(name) for name in run.parameters.get("scenarios") or Scenario]
    message = f"Video generation started for {count_parts(dict.fromkeys(bought))}"
    return VideoGenerationResponse(success=True, message=message, job_id=run.run_id)


@router.get("/status/{job_id}", responses=answers(404, 503))
async def status(job_id: JobId, statuses: StatusesDep) -> VideoStatusResponse:
    """Return the status and progress of a job and its scenes.

    Read from the records in storage. Prefect is asked only until the job's run has begun.
    """
    return await statuses.read(job_id)


@router.post("/regenerate-scene", status_code=202, responses=answers(404, *COSTS))
async def regenerate_scene(
    body: VideoRegenerateRequest,
    *,
    service: ServiceDep,
    statuses: StatusesDep,
    key: ScopedKey,
    request: Request,
    response: Response,
    wait: Annotated[bool, Query(description="Answer when the clip is stored or has failed")] = False,
    wait_seconds: Annotated[float, Query(gt=0, le=3600, description="Maximum seconds to wait with `wait`")] = 300,
) -> VideoRegenerateResponse:
    """Buy a new take of one scene, of its narration or its still, or of the music. Earlier takes stay as they are.

    Fields of the description in the request apply to this take only: PATCH the scene to keep them.
    """
    run = await service.regenerate(body, key=key)
    scene = await _wait_for_scene(run.run_id, wait_seconds, statuses, request) if wait else None
    if scene is None:
        message = f"Video generation started for {label_of(body.scenario)}"
        return VideoRegenerateResponse(success=True, message=message, job_id=run.run_id)
    response.status_code = 200
    is_stored = scene.status == State.COMPLETED
    label = label_of(body.scenario)
    message = f"{label.capitalize()} is stored" if is_stored else scene.error or f"{label} has failed"
    return VideoRegenerateResponse(success=is_stored, message=message, job_id=run.run_id, video_url=scene.video_url)


@router.post("/cut", status_code=202, responses={200: {"model": VideoCutResponse}, **answers(404, 409, 503)})
async def cut(body: VideoCutRequest, service: ServiceDep, key: ScopedKey, response: Response) -> VideoCutResponse:
    """Make the finished ad of a session's current clips. It buys nothing.

    200 with the ad if it is made already, 409 if a scene has no clip. The status of the job has its progress as `cut`.
    """
    started = await service.cut(body.session_id, body.options, key=key)
    if isinstance(started, CutView):
        response.status_code = 200
        return VideoCutResponse(success=True, message="This ad is made already", job_id=None, cut=started)
    return VideoCutResponse(success=True, message="The finished ad is being made", job_id=started.run_id)


@router.post("/resume/{job_id}", status_code=202, responses=answers(404, 409, *COSTS))
async def resume(
    job_id: JobId, service: ServiceDep, key: ScopedKey, body: VideoResumeRequest | None = None
) -> VideoGenerationResponse:
    """Resume a job: download the clips that Runware has accepted, buy the others.

    Failed attempts are repeated within ADREEL_ATTEMPTS. The `job_id` of the answer is the id of the resume: its status
    shows the same scenes until they are stored or given up. `max_cost` replaces the limit of the job.
    """
    run = await service.resume(job_id, body, key=key)
    return VideoGenerationResponse(success=True, message=f"Resume of job {job_id} started", job_id=run.run_id)


@router.post("/cancel/{job_id}", status_code=202, responses=answers(404, 409, 503))
async def cancel(job_id: JobId, service: ServiceDep) -> VideoGenerationResponse:
    """Cancel a job: nothing more is bought. Accepted clips stay open, and a resume can download them.

    One ad of a campaign, or of a resume of several jobs, is cancelled alone: its run continues with the others.
    The id of a resume or of a campaign's run cancels all its jobs.
    """
    run_continues = await service.cancel(job_id)
    others = "; the run that works on it continues with others" if run_continues else ""
    return VideoGenerationResponse(success=True, message=f"Job {job_id} is being cancelled{others}", job_id=job_id)


async def _wait_for_scene(
    job_id: str, seconds: float, statuses: StatusCache, request: Request
) -> VideoSceneStatus | None:
    """Return the only scene of a job once it has ended; None at the timeout, or if the client or the server leaves."""
    stopping: asyncio.Event = request.app.state.stopping
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not stopping.is_set() and not await request.is_disconnected():
                status = await statuses.recent(job_id, POLL_SECONDS)
                if status.overall_status != State.GENERATING:
                    return status.scenes[0]
                await asyncio.sleep(POLL_SECONDS)
    return None
