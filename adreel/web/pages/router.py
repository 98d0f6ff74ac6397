"""Puts the pages into the app of the API, behind its gate."""

from fastapi import FastAPI

from adreel.web.pages.session_page import router as session_router
from adreel.web.pages.sessions_page import router as sessions_router
from adreel.web.pages.static_files import router as static_router


def add_pages(app: FastAPI) -> None:
    """Add the storyboard to an app that `adreel.web.app.build_app` is making."""
    for router in (sessions_router, session_router, static_router):
        app.include_router(router)
