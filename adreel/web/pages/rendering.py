"""Renders templates, and errors as pages."""

import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from adreel.errors import NotFound
from adreel.models.scenarios import Scenario
from adreel.models.shares import time_label
from adreel.models.spend import Price, exact_usd, money, show_cost, to_usd
from adreel.records.suggestions import Effect, without_commands
from adreel.spend.budgets import BudgetView
from adreel.web.pages.models import model_label, model_offer, offer
from adreel.web.pages.offers import wait_label, way_out
from adreel.web.pages.static_files import static_url
from adreel.web.problems import problem_of
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
    (70, "Rendered, being downloaded"),
    (30, "Rendering"),
    (10, "Sent to Runware"),
    (0, "Waiting to start"),
)
RESUME = {
    Effect.DOWNLOADS: "Ordered already, so a resume downloads:",
    Effect.MAY_BUY: "May be ordered already, so a resume looks first:",
    Effect.BUYS: "Not bought yet, so a resume buys:",
}
"""The effects of a resume on scenes, in words."""
HEADINGS = {
    402: "Over budget",
    404: "Not found",
    409: "Not possible now",
    410: "This link has ended",
    413: "Too large",
    422: "Not possible",
    503: "Temporarily unavailable",
}

log = logging.getLogger("adreel.storyboard")
templates = Environment(
    loader=PackageLoader("adreel.web.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def price_label(prices: Iterable[Price]) -> str:
    """Return what several clips cost together."""
    return sum_label([price.amount for price in prices])


def sum_label(amounts: Sequence[int | None]) -> str:
    """Return a sum of micro-dollars, of which some may be unknown."""
    known = [amount for amount in amounts if amount is not None]
    if not known:
        return "price unknown"
    # Less than a cent is not free.
    total = money(max(to_usd(sum(known)), 0.01)) if any(known) else money(0)
    return f"about {total}" if len(known) == len(amounts) else f"at least {total}, some prices are unknown"


def left_of(budget: BudgetView) -> str:
    """Return what a budget has left: "Left today: $3.20 of $5.00"."""
    kind, _, name = budget.name.partition(":")
    scopes = {"day": "today", "month": "this month", "session": "for this ad", "campaign": f"for campaign {name}"}
    return f"Left {scopes.get(kind, 'in all')}: {money(to_usd(budget.left))} of {money(to_usd(budget.cap))}"


def step(progress: int) -> str:
    """Return the name of the step that a scene has reached."""
    return next(name for minimum, name in STEPS if progress >= minimum)


def when(moment: datetime) -> str:
    """Return a date and time."""
    return f"{moment:%-d %b %Y, %H:%M} UTC"


def megabytes(size: int) -> str:
    """Return the size of a file for people."""
    return f"{max(size / 1e6, 0.1):.1f} MB"


def listed(scenarios: list[Scenario]) -> str:
    """Join the names of scenes: "hook, problem and solution"."""
    names = [NAMES[scenario].lower() for scenario in scenarios]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


templates.globals.update(static=static_url, steps=STEPS, resume_words=RESUME, name_of=NAMES.__getitem__)
templates.filters.update(show_cost=show_cost, money=money, usd=to_usd, step=step, when=when, listed=listed)
templates.filters.update(
    sum_label=sum_label, price_label=price_label, left_of=left_of, model_label=model_label, plain=without_commands
)
templates.filters.update(offer=offer, model_offer=model_offer, time_label=time_label)
templates.filters.update(wait_label=wait_label, way_out=way_out, exact_usd=exact_usd)
templates.filters.update(as_dict=asdict, megabytes=megabytes)


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Return a rendered template as a response."""
    caller = getattr(request.state, "caller", None)
    signed_in = caller.name if caller is not None and caller.by_cookie else None
    return HTMLResponse(templates.get_template(template).render(signed_in=signed_in, **values), status)


def _detail_of(error: Exception, missing: str) -> str:
    if isinstance(error, NotFound):
        return missing
    # Forms are validated by their pages, so an invalid request has a wrong address.
    if isinstance(error, RequestValidationError):
        return "This address is not valid."
    detail = without_commands(problem_of(error).detail)
    return detail[:1].upper() + detail[1:]


class PageRoute(APIRoute):
    """A route whose errors are pages of a template."""

    template: ClassVar = "problem.html"
    missing: ClassVar = "There is no such ad."

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route, which answers every error with a page."""
        handle = super().get_route_handler()

        async def handle_with_error_page(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                problem = problem_of(error)
                if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    log.exception("%s", problem.detail)
                response = page(
                    request,
                    self.template,
                    problem.status,
                    heading=HEADINGS.get(problem.status, HTTPStatus(problem.status).phrase),
                    detail=_detail_of(error, self.missing),
                    request_id=request_id(),
                )
                response.headers.update(problem.headers)
                return response

        return handle_with_error_page
