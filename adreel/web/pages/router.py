"""Adds the storyboard to the app."""

from fastapi import FastAPI

from adreel.web.pages.session_page import router as session_router
from adreel.web.pages.sessions_page import router as sessions_router
from adreel.web.pages.static_files import VersionedStaticFiles


def add_pages(app: FastAPI) -> None:
    """Add the pages and their static files."""
    app.include_router(sessions_router)
    app.include_router(session_router)
    app.mount("/static", VersionedStaticFiles())
