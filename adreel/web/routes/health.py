"""Liveness, readiness and metrics."""

import asyncio
import time
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from adreel.orchestration.thread_pools import METRICS, PROBE, run_in, stuck_seconds
from adreel.service import Service
from adreel.web.metrics import Metrics
from adreel.web.openapi import answers
from adreel.web.problems import HTTPProblem

STUCK_SECONDS = 60.0
"""Longer than any deadline of the storage. Only a restart frees threads that are still busy after it."""

READY_SECONDS = 4.0
FRESH_SECONDS = 2.0

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The server works."""

    status: Annotated[Literal["ok"], Field(examples=["ok"])] = "ok"


class Readiness:
    """Checks the storage and Prefect for all callers: one check at a time, at most one in FRESH_SECONDS."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._checking: asyncio.Task[Exception | None] | None = None
        self._checked_at = -FRESH_SECONDS

    async def check(self) -> None:
        """Raise the error of a failed check."""
        if self._checking is None or (self._checking.done() and time.monotonic() - self._checked_at > FRESH_SECONDS):
            self._checking = asyncio.create_task(self._find_problem())
        if problem := await asyncio.shield(self._checking):
            raise problem

    async def _find_problem(self) -> Exception | None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await run_in(PROBE, partial(self._service.records.storage.exists, "sessions"))
                await self._service.runs.check()
        except TimeoutError:
            return HTTPProblem(503, "prefectUnreachable", f"Prefect does not answer within {READY_SECONDS:g} s")
        except Exception as error:
            return error
        finally:
            self._checked_at = time.monotonic()
        return None


@router.get("/healthz", responses=answers(503))
async def healthz() -> Health:
    """Liveness: 200 if the process can serve, 503 if only a restart helps. Needs no key."""
    if (seconds := stuck_seconds()) > STUCK_SECONDS:
        raise HTTPProblem(
            503, "stuck", f"every thread for records has been in the same call for {seconds:.0f} s: restart"
        )
    return Health()


@router.get("/readyz", responses=answers(503))
async def readyz(request: Request) -> Health:
    """Readiness: 200 if the storage and Prefect answer, else 503 with the reason. Needs no key."""
    readiness: Readiness = request.app.state.readiness
    await readiness.check()
    return Health()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **answers(503)},
)
async def metrics(request: Request) -> Response:
    """Return Prometheus metrics: jobs, scenes by outcome, their seconds, cost and lag, and this server's requests."""
    found: Metrics = request.app.state.metrics
    text = await run_in(METRICS, found.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
