"""Puts the pages into the app of the API, behind its gate."""

from fastapi import FastAPI

from adreel.storyboard.session_page import router as session_router
from adreel.storyboard.sessions_page import router as sessions_router
from adreel.storyboard.static_files import router as static_router


def add_pages(app: FastAPI) -> None:
    """Add the storyboard to an app that `adreel.api.app.build_app` is making."""
    for router in (sessions_router, session_router, static_router):
        app.include_router(router)
