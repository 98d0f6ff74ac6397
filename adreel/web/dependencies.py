"""Dependencies that routes and pages ask for by type."""

from typing import Annotated

from fastapi import Depends, Request

from adreel.service import Service
from adreel.web.statuses import Statuses


async def get_service(request: Request) -> Service:
    """Return the service of the app."""
    service: Service = request.app.state.service
    return service


async def get_statuses(request: Request) -> Statuses:
    """Return the cached statuses of the app."""
    statuses: Statuses = request.app.state.statuses
    return statuses


ServiceDep = Annotated[Service, Depends(get_service)]
StatusesDep = Annotated[Statuses, Depends(get_statuses)]
