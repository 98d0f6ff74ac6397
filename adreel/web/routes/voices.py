"""The models of narrations and music that can be ordered."""

from typing import Annotated

from fastapi import APIRouter, Query

from adreel.models.model_views import VoiceList
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import ServiceDep
from adreel.web.openapi import answers

router = APIRouter(prefix="/api/voices", tags=["models"])


@router.get("", responses=answers(503))
async def list_voices(
    service: ServiceDep,
    *,
    language: Annotated[
        str | None, Query(max_length=20, description="Only voices for this language, such as `de`; models too")
    ] = None,
    model: Annotated[str | None, Query(max_length=200, description="Only this model")] = None,
) -> VoiceList:
    """List the models of narrations with their voices, and those of music, the cheapest first.

    Prices are from public pages; Runware reports the cost of each voice.
    """
    return await run_in_threadpool(service.list_voices, language=language, model=model)
