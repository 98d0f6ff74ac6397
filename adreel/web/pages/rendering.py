"""From templates to answers: words for states and costs, and pages for what goes wrong."""

import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from adreel.models.scenarios import Scenario
from adreel.web.pages.static_files import address
from adreel.web.problems import Refusal, refusal_of
from adreel.web.request_ids import request_id

NAMES = {
    Scenario.HOOK: "Hook",
    Scenario.PROBLEM: "Problem",
    Scenario.SOLUTION: "Solution",
    Scenario.CTA: "Call to action",
}
STEPS = (
    (100, "Stored"),
    (80, "Downloaded, being stored"),
    (70, "Rendered, being fetched"),
    (30, "Rendering"),
    (10, "Sent to Runware"),
    (0, "Waiting to begin"),
)
HEADINGS = {404: "Not found", 409: "Not now", 422: "That can't be done", 503: "Out of reach for the moment"}

log = logging.getLogger("adreel.storyboard")
templates = Environment(
    loader=PackageLoader("adreel.web.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def money(cost: float | None) -> str:
    """Return USD for people; a cost that the provider did not report is not called 0."""
    return "unknown" if cost is None else f"${cost:.2f}"


def step(progress: int) -> str:
    """Return in words how far a scene is."""
    return next(words for least, words in STEPS if progress >= least)


def when(moment: datetime) -> str:
    """Return a time for people."""
    return f"{moment:%-d %b %Y, %H:%M} UTC"


def listed(scenarios: list[Scenario]) -> str:
    """Return the names of scenes as one phrase."""
    names = [NAMES[scenario].lower() for scenario in scenarios]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


templates.globals.update(static=address, name_of=NAMES.__getitem__)
templates.filters.update(money=money, step=step, when=when, listed=listed)


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Answer with a page."""
    caller = getattr(request.state, "caller", None)
    signed_in = caller.name if caller is not None and caller.by_cookie else None
    return HTMLResponse(templates.get_template(template).render(signed_in=signed_in, **values), status)


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, with an answer for every error."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                return problem_page(request, error)

        return told


def problem_page(request: Request, error: Exception) -> Response:
    """Answer with an error in words."""
    refusal: Refusal = refusal_of(error)
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s", refusal.detail, exc_info=error)
    heading = HEADINGS.get(refusal.status, HTTPStatus(refusal.status).phrase)
    answer = page(
        request, "problem.html", refusal.status, heading=heading, detail=refusal.detail, request_id=request_id()
    )
    answer.headers.update(refusal.headers)
    return answer
