"""Parameters and dependencies that routes and pages ask for by type."""

import hashlib
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from adreel.models.sessions import ID_PATTERN
from adreel.service import IDEMPOTENCY_KEY, Service
from adreel.web.status_cache import StatusCache

SessionId = Annotated[str, Path(pattern=ID_PATTERN, examples=["abc-123"])]
JobId = Annotated[str, Path(pattern=ID_PATTERN, examples=["3097ff71-41eb-4f32-87bb-83b77b4d2311"])]
KeyHeader = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_KEY,
        min_length=1,
        max_length=255,
        pattern=r"^[ -~]+$",
        description="A repeated request with the same key and body gets the first answer and buys nothing; another "
        "body is refused with 422",
        examples=["2f1c7e0a-order-17"],
    ),
]


async def get_service(request: Request) -> Service:
    """Return the service of the app."""
    service: Service = request.app.state.service
    return service


async def get_statuses(request: Request) -> StatusCache:
    """Return the cached statuses of the app."""
    statuses: StatusCache = request.app.state.statuses
    return statuses


async def get_scoped_key(request: Request, key: KeyHeader = None) -> str | None:
    """Return the idempotency key of a request for the service, None without the header."""
    return scoped_key(request, key)


def scoped_key(request: Request, key: str | None) -> str | None:
    """Hash a caller's idempotency key with the caller's name and the path, so that no two callers share a key."""
    if key is None:
        return None
    caller = request.state.caller.name
    return "api-" + hashlib.sha256("\n".join((caller, request.scope["path"], key)).encode()).hexdigest()


ServiceDep = Annotated[Service, Depends(get_service)]
StatusesDep = Annotated[StatusCache, Depends(get_statuses)]
ScopedKey = Annotated[str | None, Depends(get_scoped_key)]
