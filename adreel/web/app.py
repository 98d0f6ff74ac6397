"""Builds the FastAPI app: the routes, and the layers that every request passes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from adreel import __version__
from adreel.orchestration.runs import Runs
from adreel.settings import Settings
from adreel.web.backend import Backend
from adreel.web.guesses import GuessLimits
from adreel.web.idempotency import HEADER
from adreel.web.json_bodies import refuse_doubled_keys
from adreel.web.keys import Keys
from adreel.web.middleware.access_log import AccessLogMiddleware
from adreel.web.middleware.auth import AuthMiddleware
from adreel.web.middleware.limits import BodyLimit, RequestLimits
from adreel.web.openapi import describe
from adreel.web.pages.router import add_pages
from adreel.web.problems import tell_problems
from adreel.web.public_address import PublicAddress, SubPath
from adreel.web.routes import events, health, outputs, scenes, sessions, sign_in, videos
from adreel.web.sign_outs import SignOuts
from adreel.web.threads import close_threads

DESCRIPTION = "Starts jobs that buy the clips of a video ad, follows them, and serves the clips."


def build_app(settings: Settings) -> FastAPI:
    """Return the app for some settings; pages may be added to it, behind the same gate.

    It lives in one event loop, from the start of its lifespan to the end.
    """
    address = PublicAddress.of(settings.public_url)
    runs = Runs()
    app = FastAPI(
        title="adreel",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        generate_unique_id_function=lambda route: route.name,
        # The pages that FastAPI has for them load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        # They would be made from the Host header.
        redirect_slashes=False,
        servers=[{"url": f"{address.origin}{address.root}"}] if address.root else None,
    )
    app.state.address = address
    app.state.backend = Backend.of(settings, runs)
    app.state.readiness = health.Readiness(app.state.backend)
    app.state.keys = Keys(settings.api_keys)
    app.state.guesses = GuessLimits()
    app.state.sign_outs = SignOuts(app.state.backend.records.storage)
    for part in (videos, sessions, scenes):
        app.include_router(part.router, dependencies=[Depends(refuse_doubled_keys)])
    for part in (events, outputs, health, sign_in):
        app.include_router(part.router)
    add_pages(app)
    tell_problems(app)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    _wrap(app, settings)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.stopping = asyncio.Event()
    backend: Backend = app.state.backend
    async with backend.runs:
        yield
    close_threads()


def _wrap(app: FastAPI, settings: Settings) -> None:
    """Put the layers round the routes; the last one added is the outermost."""
    app.add_middleware(BodyLimit, most=settings.max_body_kb * 1024)
    app.add_middleware(
        AuthMiddleware,
        keys=app.state.keys,
        limits=RequestLimits(settings.requests_per_minute),
        guesses=app.state.guesses,
        sign_outs=app.state.sign_outs,
        address=app.state.address,
        origins=frozenset(settings.cors_origins),
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "PUT"],
            allow_headers=["Authorization", "Content-Type", HEADER, "Last-Event-ID"],
            expose_headers=["X-Request-ID", "Retry-After", "Location"],
        )
    backend: Backend = app.state.backend
    clips_from = outputs.signed_host(backend.records.storage) if settings.signed_seconds else None
    app.add_middleware(AccessLogMiddleware, metrics=backend.metrics, address=app.state.address, clips_from=clips_from)
    if app.state.address.root:
        app.add_middleware(SubPath, root=app.state.address.root)
