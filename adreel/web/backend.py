"""Dependencies of the routes: the settings, the records and Prefect."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from adreel.orchestration.runs import Runs
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.web.idempotency import InFlight
from adreel.web.metrics import Metrics
from adreel.web.statuses import Statuses


@dataclass(frozen=True)
class Backend:
    """One for each server; all that it remembers can be lost at any time."""

    settings: Settings
    records: Records
    runs: Runs
    statuses: Statuses
    in_flight: InFlight
    metrics: Metrics

    @classmethod
    def of(cls, settings: Settings, runs: Runs) -> "Backend":
        """Open the storage of the settings."""
        records = Records(Storage.of(settings))
        statuses = Statuses(records, settings, runs)
        return cls(settings, records, runs, statuses, InFlight(), Metrics(records))


async def the_backend(request: Request) -> Backend:
    """Give a route the backend of its app."""
    backend: Backend = request.app.state.backend
    return backend


Served = Annotated[Backend, Depends(the_backend)]
