"""Signs of life: the process, what it depends on, and its metrics."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from adreel.api.backend import Served
from adreel.api.openapi import answers

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The server works."""

    status: Annotated[Literal["ok"], Field(examples=["ok"])] = "ok"


@router.get("/healthz", responses=answers())
async def healthz() -> Health:
    """Say that the process answers; needs no key."""
    return Health()


@router.get("/readyz", responses=answers(503))
async def readyz(backend: Served) -> Health:
    """Say that the storage and Prefect answer, else 503 with the reason; needs no key."""
    await run_in_threadpool(backend.records.storage.exists, "sessions")
    await backend.runs.check()
    return Health()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **answers(503)},
)
def metrics(backend: Served) -> Response:
    """Give Prometheus the jobs, the scenes by outcome, their seconds, cost and lag, and the requests of this server."""
    return Response(backend.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
