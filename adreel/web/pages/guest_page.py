"""The page of a guest: the shared ad, what the guest has said, and the form for more. It needs no script."""

import re
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, ValidationError, field_validator, model_validator
from starlette.responses import RedirectResponse

from adreel.models.api import RequestBody
from adreel.models.scenarios import Scenario
from adreel.models.shares import ReviewKind, Right
from adreel.models.takes import utc_now
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.sharing import SHARE_PATH, Film, add_review, film_of, list_reviews, record_visit
from adreel.service import Service
from adreel.web.dependencies import ServiceDep
from adreel.web.guests import Guest, GuestDep
from adreel.web.pages.forms import FORM_ERRORS, Fields, FormState, new_token, with_errors
from adreel.web.pages.rendering import PageRoute, page
from adreel.web.problems import HTTPProblem
from adreel.web.public_address import PublicAddress
from adreel.web.review_notices import notify

NAME_COOKIE = "adreel-guest"
NAME_SECONDS = 365 * 24 * 3600
MOMENT = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}(?:[.,]\d{1,2})?)")
NOTICES = {
    ReviewKind.COMMENT: "Thank you. Your comment was sent.",
    ReviewKind.APPROVAL: "Thank you. You have approved this ad.",
    ReviewKind.CHANGE_REQUEST: "Thank you. Your request for changes was sent.",
}


class GuestRoute(PageRoute):
    """A route whose errors are pages for guests, without links to pages that need a key."""

    template = "guest_problem.html"


router = APIRouter(prefix=SHARE_PATH + "{token}", include_in_schema=False, route_class=GuestRoute)


class ReviewForm(RequestBody, extra="ignore"):
    """The form of a guest. `version` is that of the film on the page, `key` that of the form."""

    kind: ReviewKind
    author: str = Field(min_length=1, max_length=80)
    text: str = Field("", max_length=2000)
    moment: float | None = None
    scenario: Scenario | None = None
    version: str = Field(max_length=64)
    key: str = Field(min_length=1, max_length=64)

    @field_validator("moment", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        if not isinstance(value, str) or not value.strip():
            return None
        found = MOMENT.fullmatch(value.strip())
        if found is None:
            raise ValueError("Use minutes and seconds, such as 0:06.")
        return int(found[1] or 0) * 60 + float(found[2].replace(",", "."))

    @field_validator("scenario", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @model_validator(mode="after")
    def _says_something(self) -> "ReviewForm":
        if self.kind is not ReviewKind.APPROVAL and not self.text:
            raise ValueError("Please write what you think, or what should change.")
        return self


@router.get("")
async def show_ad(
    guest: GuestDep, request: Request, service: ServiceDep, said: Annotated[str, Query(max_length=40)] = ""
) -> Response:
    """Show the shared ad."""
    await run_in_threadpool(record_visit, service.records, guest.share)
    notice = NOTICES[ReviewKind(said)] if said in set(ReviewKind) else ""
    return await _show(guest, request, service, notice=notice)


@router.post("/reviews")
async def send_review(guest: GuestDep, request: Request, service: ServiceDep, fields: Fields) -> Response:
    """Store a comment or a decision. Nothing that a guest sends buys or selects anything."""
    try:
        form = ReviewForm.model_validate(fields)
        guest.check(form.kind.right)
        film = await run_in_threadpool(film_of, service.records, guest.share.session_id)
        if not film.files or form.version != film.version:
            detail = "The ad has changed since you opened this page. Please look at it again, then send your words."
            raise HTTPProblem(409, "changed", detail)
        began = utc_now()
        review = await run_in_threadpool(
            add_review,
            service.records,
            guest.share,
            film,
            form.kind,
            author=form.author,
            text=form.text,
            moment=form.moment,
            scenario=form.scenario if not film.is_cut else None,
            key=form.key,
        )
    except FORM_ERRORS as error:
        return await _show(guest, request, service, form=_with_errors(fields, error))
    # A form that is sent twice is one review, with the time of the first.
    if review.created_at >= began:
        notify(service.settings, review)
    response = RedirectResponse(f"{guest.path}?said={form.kind}", 303)
    address: PublicAddress = request.app.state.address
    response.set_cookie(
        NAME_COOKIE,
        quote(form.author, safe=""),
        max_age=NAME_SECONDS,
        httponly=True,
        samesite="lax",
        secure=address.is_https(request.scope),
    )
    return response


def _with_errors(fields: dict[str, str], error: Exception) -> FormState:
    if isinstance(error, ValidationError) and all(not each["loc"] for each in error.errors()):
        return FormState(fields, {"text": error.errors()[0]["msg"].removeprefix("Value error, ")}, 422)
    shown = with_errors(fields, error)
    errors = {name if name in {"author", "text", "moment"} else "": advice for name, advice in shown.errors.items()}
    return FormState(fields, errors, shown.status)


async def _show(
    guest: Guest, request: Request, service: Service, *, notice: str = "", form: FormState | None = None
) -> Response:
    form = form or FormState({})
    name = unquote(request.cookies.get(NAME_COOKIE, ""))[:80]
    values = await run_in_threadpool(_read, guest, service)
    return page(
        request,
        "guest.html",
        form.status,
        path=guest.path,
        rights={right.value: guest.may(right) for right in Right},
        form=form,
        author=form.fields.get("author", name),
        # A form that was refused keeps its key: the words in it are still the same ones.
        key=form.fields.get("key") or new_token(),
        notice=notice,
        **values,
    )


def _read(guest: Guest, service: Service) -> dict[str, Any]:
    session_id = guest.share.session_id
    film: Film = film_of(service.records, session_id)
    said = list_reviews(service.records, session_id, film).reviews
    return {
        "product": service.records.session(session_id).product_name,
        "film": film,
        # Guests of other links are none of this guest's business.
        "reviews": [each for each in said if each.share_id == guest.share.share_id],
    }
