"""A short cache of job statuses, so that many clients who follow a job cost one reading."""

import asyncio
import time
from dataclasses import dataclass

from adreel.models.api import VideoStatusResponse
from adreel.service import Service

KEPT_SECONDS = 60.0


@dataclass(frozen=True)
class _CachedStatus:
    read_at: float
    status: VideoStatusResponse


class StatusCache:
    """Reads statuses; concurrent requests for the same job share one reading."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reading: dict[str, asyncio.Task[VideoStatusResponse]] = {}
        self._cached: dict[str, _CachedStatus] = {}

    async def read(self, job_id: str) -> VideoStatusResponse:
        """Return the status of a job, or raise NotFound or PrefectUnreachable."""
        reading = self._reading.get(job_id)
        if reading is None:
            reading = self._reading[job_id] = asyncio.create_task(self._service.status(job_id))
            reading.add_done_callback(lambda done: self._keep(job_id, done))
        return await asyncio.shield(reading)

    async def recent(self, job_id: str, max_age: float) -> VideoStatusResponse:
        """Return a status that is at most `max_age` seconds old."""
        cached = self._cached.get(job_id)
        if cached is not None and time.monotonic() - cached.read_at < max_age:
            return cached.status
        return await self.read(job_id)

    def _keep(self, job_id: str, done: "asyncio.Task[VideoStatusResponse]") -> None:
        del self._reading[job_id]
        if done.cancelled() or done.exception() is not None:
            return
        now = time.monotonic()
        # Ordered by age: a status that is read again moves to the end.
        self._cached.pop(job_id, None)
        while self._cached and now - next(iter(self._cached.values())).read_at > KEPT_SECONDS:
            del self._cached[next(iter(self._cached))]
        self._cached[job_id] = _CachedStatus(now, done.result())
