"""Signs of life: the process, what it depends on, and its metrics."""

import asyncio
import time
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from adreel.web.backend import Backend, Served
from adreel.web.openapi import answers
from adreel.web.problems import Refusal
from adreel.web.threads import METRICS, PROBE, run_in, stuck_seconds

STUCK_SECONDS = 60.0
"""Longer than any deadline of the storage. Only a restart frees threads that are still busy after it."""

READY_SECONDS = 4.0
FRESH_SECONDS = 2.0

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The server works."""

    status: Annotated[Literal["ok"], Field(examples=["ok"])] = "ok"


class Readiness:
    """Checks the storage and Prefect for all callers: one check at a time, and one in FRESH_SECONDS."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._asking: asyncio.Task[Exception | None] | None = None
        self._asked_at = -FRESH_SECONDS

    async def check(self) -> None:
        """Raise the error of a failed check."""
        if self._asking is None or (self._asking.done() and time.monotonic() - self._asked_at > FRESH_SECONDS):
            self._asking = asyncio.create_task(self._ask())
        if problem := await asyncio.shield(self._asking):
            raise problem

    async def _ask(self) -> Exception | None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await run_in(PROBE, partial(self._backend.records.storage.exists, "sessions"))
                await self._backend.runs.check()
        except TimeoutError:
            return Refusal(503, "prefectUnreachable", f"Prefect does not answer within {READY_SECONDS:g} s")
        except Exception as error:
            return error
        finally:
            self._asked_at = time.monotonic()
        return None


@router.get("/healthz", responses=answers(503))
async def healthz() -> Health:
    """Answer 200 if the process can serve, else 503: only a restart helps. Needs no key."""
    if (seconds := stuck_seconds()) > STUCK_SECONDS:
        raise Refusal(503, "stuck", f"every thread for records has been in the same call for {seconds:.0f} s: restart")
    return Health()


@router.get("/readyz", responses=answers(503))
async def readyz(request: Request) -> Health:
    """Say that the storage and Prefect answer, else 503 with the reason; needs no key."""
    readiness: Readiness = request.app.state.readiness
    await readiness.check()
    return Health()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **answers(503)},
)
async def metrics(backend: Served) -> Response:
    """Give Prometheus the jobs, the scenes by outcome, their seconds, cost and lag, and the requests of this server."""
    text = await run_in(METRICS, backend.metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
