"""The video models that can be ordered."""

from typing import Annotated

from fastapi import APIRouter, Query

from adreel.catalog.selection import Needs
from adreel.models.model_views import ModelList
from adreel.models.sessions import Aspect
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.dependencies import ServiceDep
from adreel.web.openapi import answers

router = APIRouter(prefix="/api/models", tags=["models"])


@router.get("", responses=answers(503))
async def list_models(
    service: ServiceDep,
    *,
    first_frame: Annotated[bool, Query(description="Only models that start from an image")] = False,
    last_frame: Annotated[bool, Query(description="Only models that end with an image")] = False,
    references: Annotated[bool, Query(description="Only models that take reference images")] = False,
    sound: Annotated[
        bool | None, Query(description="Only models that make clips with sound, or without; prices are those for it")
    ] = None,
    aspect: Annotated[Aspect | None, Query(description="Only models with this shape")] = None,
    max_price: Annotated[float | None, Query(gt=0, description="USD per second")] = None,
) -> ModelList:
    """List the models that are known to offer what is asked for, the cheapest first.

    Prices are from public pages; Runware reports the cost of each clip.
    """
    needs = Needs(
        first_frame=first_frame,
        last_frame=last_frame,
        references=references,
        sound=sound,
        aspect=aspect,
        max_price=max_price,
    )
    return await run_in_threadpool(service.list_models, needs)
