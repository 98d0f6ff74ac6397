"""Renders templates, and errors as pages."""

import logging
import re
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
from adreel.models.parts import Part, PartKind, kind_of, scenario_of
from adreel.models.scenarios import Scenario
from adreel.models.shares import time_label
from adreel.models.spend import CENT, Price, exact_usd, money, show_cost, to_usd
from adreel.records.suggestions import Effect, without_commands
from adreel.spend.budgets import BudgetView
from adreel.web.keys import Caller
from adreel.web.pages.models import model_label, model_offer, offer
from adreel.web.pages.offers import wait_label, way_out
from adreel.web.pages.part_boards import PartBoard
from adreel.web.pages.static_files import static_url
from adreel.web.problems import HTTPProblem, problem_of
from adreel.web.request_ids import request_id

NAMES = {
    Scenario.HOOK: "Hook",
    Scenario.PROBLEM: "Problem",
    Scenario.SOLUTION: "Solution",
    Scenario.CTA: "Call to action",
}
KINDS: dict[PartKind, tuple[str, str]] = {
    "clip": ("Clip", "clips"),
    "voice": ("Narration", "narrations"),
    "music": ("Music", "music"),
    "still": ("Still", "stills"),
}
"""Names of the parts of an ad for people: one and several."""
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
    403: "Not allowed with this key",
    404: "Not found",
    409: "Not possible now",
    410: "This link has ended",
    413: "Too large",
    422: "Not possible",
    503: "Temporarily unavailable",
}

FORM_PAGES = {"compose.html", "facts.html", "campaign_form.html", "campaign_rest.html", "delete.html"}
"""Templates of pages that are nothing but a form."""
FORM_ADDRESSES = re.compile(r"/new|/new-campaign|/sessions/[^/]+/(edit|facts|delete)|/campaigns/[^/]+/resume")

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
    total = sum(known)
    if 0 < total < CENT and len(known) == len(amounts):
        return f"less than {money(to_usd(CENT))}"
    return (
        f"about {money(to_usd(total))}"
        if len(known) == len(amounts)
        else f"at least {money(to_usd(total))}, some prices are unknown"
    )


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


def name_of(part: Part) -> str:
    """Return the name of a part: "Hook", "Narration of the hook", "Music"."""
    scenario = scenario_of(part)
    if scenario is None:
        return "Music"
    return NAMES[scenario] if part == scenario else f"{KINDS[kind_of(part)][0]} of the {NAMES[scenario].lower()}"


def listed(parts: Sequence[Part]) -> str:
    """Join the names of parts: "hook, problem and solution", or "cta, 4 narrations and music"."""
    names = []
    for kind, (_, several) in KINDS.items():
        of_kind = [part for part in parts if kind_of(part) == kind]
        is_counted = kind != "clip" and len(of_kind) > 1
        names += [f"{len(of_kind)} {several}"] if is_counted else [name_of(part).lower() for part in of_kind]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def itemised(parts: Sequence[PartBoard]) -> list[tuple[str, list[Price]]]:
    """Return how many parts of each kind there are, such as "4 clips", with their prices."""
    items = []
    for kind, (one, several) in KINDS.items():
        of_kind = [part for part in parts if part.kind == kind]
        words = (
            several if kind == "music" else f"one {one.lower()}" if len(of_kind) == 1 else f"{len(of_kind)} {several}"
        )
        if of_kind:
            items.append(
                (
                    "music" if kind == "music" else words,
                    [price for part in of_kind if part.offer for price in part.offer.prices],
                )
            )
    return items


templates.globals.update(static=static_url, steps=STEPS, resume_words=RESUME, name_of=name_of)
templates.filters.update(
    show_cost=show_cost, money=money, usd=to_usd, step=step, when=when, listed=listed, itemised=itemised
)
templates.filters.update(
    sum_label=sum_label, price_label=price_label, left_of=left_of, model_label=model_label, plain=without_commands
)
templates.filters.update(offer=offer, model_offer=model_offer, time_label=time_label)
templates.filters.update(wait_label=wait_label, way_out=way_out, exact_usd=exact_usd)
templates.filters.update(as_dict=asdict, megabytes=megabytes)


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Return a rendered template as a response."""
    caller: Caller = getattr(request.state, "caller", None) or Caller("nobody")
    if template in FORM_PAGES and not caller.may_change("POST", request.scope["path"]):
        raise not_allowed(caller)
    signed_in = caller.name if caller.by_cookie else None
    html = templates.get_template(template).render(signed_in=signed_in, role=caller.role, **values)
    return HTMLResponse(_without_forbidden_forms(html, caller), status)


def not_allowed(caller: Caller) -> HTTPProblem:
    """Return the refusal of a request that the role of a caller does not allow."""
    may = "changes nothing" if caller.role == "view" else "neither shares nor deletes ads"
    needed = "with the role buy" if caller.role == "view" else "without a role"
    detail = f"the key {caller.name!r} has the role {caller.role}, which {may}: use a key {needed}"
    return HTTPProblem(403, "role", detail)


def _without_forbidden_forms(html: str, caller: Caller) -> str:
    """Hide the forms that the role of a caller does not allow, and links to them: here, so that no page forgets it."""
    if caller.role == "full":
        return html

    def hide(found: re.Match[str]) -> str:
        tag, kind = found[0], found[1]
        address = re.search(r'(?:action|href)="([^"?#]*)', tag)
        if address is None or address[1] == "/sign-out" or caller.may_change("POST", address[1]):
            return tag
        changes = 'method="post"' in tag if kind == "form" else FORM_ADDRESSES.fullmatch(address[1])
        return f"<{kind} hidden data-forbidden{tag[1 + len(kind) :]}" if changes else tag

    return re.sub(r"<(form|a)\b[^>]*>", hide, html)


def problem_page(request: Request, problem: HTTPProblem, template: str = "problem.html", detail: str = "") -> Response:
    """Return a problem as a page."""
    heading = HEADINGS.get(problem.status, HTTPStatus(problem.status).phrase)
    words = detail or _sentence(problem)
    response = page(request, template, problem.status, heading=heading, detail=words, request_id=request_id())
    response.headers.update(problem.headers)
    return response


def _detail_of(error: Exception, missing: str) -> str:
    if isinstance(error, NotFound):
        return missing
    # Forms are validated by their pages, so an invalid request has a wrong address.
    if isinstance(error, RequestValidationError):
        return "This address is not valid."
    return _sentence(problem_of(error))


def _sentence(problem: HTTPProblem) -> str:
    detail = without_commands(problem.detail)
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
                return problem_page(request, problem, self.template, _detail_of(error, self.missing))

        return handle_with_error_page
