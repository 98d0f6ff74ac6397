"""Builds the FastAPI app: routes, pages and middleware."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from adreel import __version__
from adreel.index import IndexKeeper, SessionIndex
from adreel.orchestration.runs import Runs
from adreel.orchestration.thread_pools import close_threads
from adreel.service import IDEMPOTENCY_KEY, Service
from adreel.settings import Settings
from adreel.spend.notices import listen, stop_listening
from adreel.tasks.events import budget_reached
from adreel.web.bodies import UPLOADS, refuse_duplicate_keys
from adreel.web.guests import GuestLimits
from adreel.web.keys import Keys
from adreel.web.metrics import Metrics
from adreel.web.middleware.access_log import AccessLogMiddleware
from adreel.web.middleware.auth import AuthMiddleware
from adreel.web.middleware.get_responses import CompressionMiddleware, HeadMiddleware
from adreel.web.middleware.limits import BodyLimitMiddleware, RateLimiter
from adreel.web.openapi import TAGS, describe
from adreel.web.pages import (
    api_page,
    archive_page,
    campaign_runs_page,
    campaigns_page,
    compare_page,
    compose_page,
    facts_page,
    guest_page,
    player_page,
    session_page,
    sessions_page,
    shares_page,
    spend_page,
)
from adreel.web.pages.static_files import VersionedStaticFiles
from adreel.web.problems import add_problem_handlers
from adreel.web.public_address import PublicAddress, SubPathMiddleware
from adreel.web.routes import (
    campaigns,
    clip_archives,
    events,
    health,
    inputs,
    models,
    outputs,
    scenes,
    sessions,
    shares,
    sign_in,
    spend,
    videos,
    voices,
)
from adreel.web.sign_outs import SignOuts
from adreel.web.status_cache import StatusCache
from adreel.web.wrong_keys import WrongKeyLimiter

DESCRIPTION = "Starts jobs that buy the clips of a video ad, follows them, and serves the clips."

_ROUTERS = (
    spend,
    models,
    voices,
    inputs,
    events,
    outputs,
    clip_archives,
    health,
    sign_in,
    sessions_page,
    compose_page,
    session_page,
    archive_page,
    facts_page,
    player_page,
    compare_page,
    campaigns_page,
    campaign_runs_page,
    shares_page,
    spend_page,
    guest_page,
    api_page,
)


@cache
def _routes() -> list[BaseRoute]:
    """Return the routes of all apps of this process.

    FastAPI prepares included routes at the first request, which takes a tenth of a second for each app that includes
    them itself.
    """
    router = APIRouter(generate_unique_id_function=lambda route: route.name)
    for part in (videos, sessions, scenes, shares, campaigns):
        router.include_router(part.router, dependencies=[Depends(refuse_duplicate_keys)])
    for part in _ROUTERS:
        router.include_router(part.router)
    router.include_router(shares.guest_router)
    return router.routes


def build_app(settings: Settings) -> FastAPI:
    """Return the app for some settings. It lives in one event loop, from the start of its lifespan to the end."""
    runs = Runs()
    service = Service.of(settings, runs)
    storage = service.records.storage
    address = PublicAddress.of(settings.public_url)
    keys, wrong_keys, sign_outs = Keys(settings.api_keys), WrongKeyLimiter(), SignOuts(storage)
    index = SessionIndex(service.records)
    keeper, metrics = IndexKeeper(index), Metrics(index)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stopping = asyncio.Event()
        keeper.start()
        listen(budget_reached)
        async with runs:
            yield
        stop_listening(budget_reached)
        keeper.stop()
        close_threads()

    app = FastAPI(
        title="adreel",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # FastAPI's documentation pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        openapi_tags=TAGS,
        # Redirects would be built from the Host header.
        redirect_slashes=False,
        servers=[{"url": f"{address.origin}{address.root}"}] if address.root else None,
    )
    app.state.service, app.state.statuses, app.state.metrics = service, StatusCache(service), metrics
    app.state.address, app.state.keys, app.state.index = address, keys, index
    app.state.wrong_keys, app.state.sign_outs = wrong_keys, sign_outs
    app.state.readiness = health.Readiness(service)
    app.state.guest_limits = GuestLimits()
    app.router.routes.extend(_routes())
    app.mount("/static", VersionedStaticFiles())
    add_problem_handlers(app)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]

    # The middleware that is added last is the outermost.
    app.add_middleware(HeadMiddleware)
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_body_kb * 1024, uploads=UPLOADS)
    app.add_middleware(
        AuthMiddleware,
        keys=keys,
        rate_limiter=RateLimiter(settings.requests_per_minute),
        wrong_keys=wrong_keys,
        sign_outs=sign_outs,
        address=address,
        origins=frozenset(settings.cors_origins),
    )
    _allow_origins(app, settings.cors_origins)
    clips_from = outputs.signed_host(storage) if settings.signed_seconds else None
    app.add_middleware(AccessLogMiddleware, metrics=metrics, address=address, clips_from=clips_from)
    if address.root:
        app.add_middleware(SubPathMiddleware, root=address.root)
    # Outside of the sub-path, which rewrites the links of pages.
    app.add_middleware(CompressionMiddleware, root=address.root)
    return app


def _allow_origins(app: FastAPI, origins: list[str]) -> None:
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", IDEMPOTENCY_KEY, "Last-Event-ID"],
            expose_headers=["X-Request-ID", "Retry-After", "Location"],
        )
