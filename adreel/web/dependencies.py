"""Parameters and dependencies that routes and pages ask for by type."""

import hashlib
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, Field, ValidationInfo, field_validator

from adreel.index import SessionIndex, SessionQuery, Sort
from adreel.models.session_states import ListedState
from adreel.models.sessions import ID_PATTERN
from adreel.service import IDEMPOTENCY_KEY, CampaignService, Service
from adreel.web.status_cache import StatusCache

SessionId = Annotated[str, Path(pattern=ID_PATTERN, examples=["abc-123"])]
JobId = Annotated[str, Path(pattern=ID_PATTERN, examples=["3097ff71-41eb-4f32-87bb-83b77b4d2311"])]
CampaignName = Annotated[str, Path(pattern=ID_PATTERN, examples=["spring"])]
Cursor = Annotated[str, Field(max_length=300, pattern=r"^[A-Za-z0-9_-]+$")] | None
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


class SessionFilters(BaseModel):
    """Query parameters of the list of sessions."""

    q: str = Field("", max_length=200, description="Words that the id, the product or the campaign contain")
    state: ListedState | None = Field(None, description="Only sessions in this state; `new` has no takes yet")
    campaign: str | None = Field(None, max_length=200, description="Only sessions of this campaign")
    since: AwareDatetime | None = Field(None, description="Minimum time of the last change")
    sort: Sort = Field("-created", description="Order; `-` puts the largest first")
    limit: int = Field(20, ge=1, le=100)
    after: Cursor = Field(None, description="`next` of a page, for the one that follows")
    before: Cursor = Field(None, description="`previous` of a page, for the one in front of it")

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_missing(cls, value: Any, info: ValidationInfo) -> Any:
        # Browsers send the empty fields of a form too.
        return cls.model_fields[str(info.field_name)].default if value == "" else value

    def query(self) -> SessionQuery:
        """Return the query of the page."""
        return SessionQuery(**self.model_dump())


async def get_service(request: Request) -> Service:
    """Return the service of the app."""
    service: Service = request.app.state.service
    return service


async def get_campaigns(request: Request) -> CampaignService:
    """Return the use cases of campaigns."""
    return CampaignService(request.app.state.service)


async def get_index(request: Request) -> SessionIndex:
    """Return the index of the app."""
    index: SessionIndex = request.app.state.index
    return index


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


CampaignsDep = Annotated[CampaignService, Depends(get_campaigns)]
ServiceDep = Annotated[Service, Depends(get_service)]
FiltersQuery = Annotated[SessionFilters, Query()]
IndexDep = Annotated[SessionIndex, Depends(get_index)]
StatusesDep = Annotated[StatusCache, Depends(get_statuses)]
ScopedKey = Annotated[str | None, Depends(get_scoped_key)]
