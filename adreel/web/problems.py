"""Errors as RFC 9457 problem details that name the fields."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from adreel.errors import (
    AdreelError,
    Conflict,
    InputError,
    NotFound,
    OverBudget,
    PrefectUnreachable,
    RequestInFlight,
    StorageError,
)
from adreel.models.scenarios import field_place
from adreel.models.spend import MAX_COST, to_usd, usd_rounded_up
from adreel.records.suggestions import without_commands
from adreel.service import IDEMPOTENCY_KEY
from adreel.web.request_ids import request_id

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5

STATUSES: dict[type[AdreelError], int] = {
    NotFound: 404,
    Conflict: 409,
    InputError: 422,
    OverBudget: 402,
    PrefectUnreachable: 503,
    StorageError: 503,
    AdreelError: 500,
}

log = logging.getLogger("adreel.api")


class FieldProblem(BaseModel):
    """A validation error of one field."""

    field: str = Field(description="The field, within its scene such as `hook.duration`", examples=["hook.duration"])
    place: str = Field(description="body, path, query or header", examples=["body"])
    detail: str = Field(examples=["Input should be greater than 0"])


class ProblemDetails(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(examples=["urn:adreel:problem:input"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["hook.duration: Input should be greater than 0"])
    instance: str = Field(description="The path of the request", examples=["/api/sessions"])
    request_id: str = Field(description="Id of the request in the server's log")
    errors: list[FieldProblem] = Field(default_factory=list)


class BudgetProblemDetails(ProblemDetails):
    """Why a purchase was refused: a budget has too little money left. Nothing was sent or started."""

    needed: float | None = Field(description="Price of the order in USD; null is unknown", examples=[1.4])
    left: float = Field(description="What the budget has left in USD", examples=[0.85])
    budget: str = Field(description="Name of the budget", examples=["day"])
    enough: float | None = Field(
        description="USD as the cap of the budget, or as `max_cost`, with which it goes through; null is unknown",
        examples=[6.0],
    )
    next: str = Field(description="What to do, for people", examples=["Raise the budget day to 6.00 USD or more"])


class HTTPProblem(Exception):
    """Ends a request with problem details, and with further `members` of them."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: dict[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.headers, self.members = list(errors), headers or {}, members or {}

    def response(self, path: str) -> Response:
        """Return the response to a request for a path."""
        details = ProblemDetails(
            type=f"urn:adreel:problem:{self.code}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            instance=path,
            request_id=request_id(),
            errors=self.errors,
        )
        return JSONResponse({**details.model_dump(), **self.members}, self.status, self.headers, MEDIA_TYPE)


def problem_of(error: Exception, request: Request | None = None) -> HTTPProblem:
    """Convert any error to a problem; `request` tells which fields were in its path.

    Unexpected errors, and addresses and replies of the storage and Prefect, are for the log only.
    """
    match error:
        case HTTPProblem():
            return error
        case RequestValidationError():
            errors = [_field_problem(item, error.body) for item in error.errors()]
            detail = "; ".join(f"{each.field}: {each.detail}" if each.field else each.detail for each in errors)
            return HTTPProblem(422, InputError.code, detail, errors=errors)
        case HTTPException(status_code=HTTPStatus.BAD_REQUEST):
            return HTTPProblem(422, InputError.code, "the body can't be read as JSON")
        case HTTPException():
            phrase = HTTPStatus(error.status_code).phrase
            return HTTPProblem(error.status_code, "http", phrase, headers=dict(error.headers or {}))
        case AdreelError():
            status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
        case _:
            detail = "internal error: the server's log has the details under this request_id"
            return HTTPProblem(500, "unexpected", detail)
    code, detail, headers, members = error.code, str(error), {}, {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, RequestInFlight):
        headers["Retry-After"] = "1"
    if isinstance(error, OverBudget):
        members = _refusal(error)
        detail = without_commands(detail.replace("--max-cost", MAX_COST)).rstrip(".")
    if isinstance(error, PrefectUnreachable):
        code, detail = PrefectUnreachable.code, "Prefect returned no usable response: see the server's log"
    elif isinstance(error, StorageError):
        detail = "the storage can't be used: see the server's log"
    in_path = request.path_params if request else {}
    errors = [
        FieldProblem(
            field=field_place(name.split(".")),
            place="header" if name == IDEMPOTENCY_KEY else "path" if name in in_path else "body",
            detail=reason,
        )
        for name, reason in (error.fields if isinstance(error, InputError) else {}).items()
    ]
    return HTTPProblem(status, code, detail, errors=errors, headers=headers, members=members)


def _refusal(error: OverBudget) -> dict[str, Any]:
    """Return the members of a problem that a refusal for money has, without words of the command line."""
    enough = None if error.enough is None else usd_rounded_up(error.enough)
    if error.needed is None:
        next_step = "Give the price of such a clip as clip_price, or choose a model with a known price."
    elif error.budget == MAX_COST:
        higher = f"a max_cost of {enough} USD or more" if enough else "a higher max_cost"
        next_step = f"Order again with {higher}, or order fewer scenes."
    else:
        later = {"day": " or wait for the next day (UTC),", "month": " or wait for the next month (UTC),"}
        amount = f" to {enough} USD or more" if enough else ""
        next_step = f"Raise the budget {error.budget}{amount},{later.get(error.budget, '')} or order fewer scenes."
    return {
        "needed": to_usd(error.needed),
        "left": to_usd(error.left),
        "budget": error.budget,
        "enough": None if enough is None else float(enough),
        "next": next_step,
    }


def _field_problem(item: Any, body: Any) -> FieldProblem:
    place, *steps = item["loc"]
    if item["type"] == "json_invalid":
        return FieldProblem(
            field="", place="body", detail=f"invalid JSON: {item['ctx']['error']} at character {steps[0]}"
        )
    if item["type"] == "model_attributes_type" and not steps:
        # FastAPI reads a body of another type as text: a form of another site must not pass for JSON.
        return FieldProblem(field="", place="body", detail="expected an object as Content-Type: application/json")
    return FieldProblem(
        field=field_place(steps, body), place=str(place), detail=item["msg"].removeprefix("Value error, ")
    )


async def handle_error(request: Request, error: Exception) -> Response:
    """Answer a request with problem details; a dependency may also end a request with success and no body."""
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.BAD_REQUEST:
        return Response(status_code=error.status_code)
    problem = problem_of(error, request)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s", error, exc_info=None if isinstance(error, AdreelError) else error)
    return problem.response(request.scope["path"])


def add_problem_handlers(app: FastAPI) -> None:
    """Make an app answer every error with problem details."""
    for kind in (HTTPProblem, RequestValidationError, AdreelError, HTTPException):
        app.add_exception_handler(kind, handle_error)
