"""Everything that goes wrong, told as RFC 9457 problem details that name the field."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from adreel.errors import AdreelError, InputError, NotFound, StorageError
from adreel.orchestration.runs import PrefectUnreachable
from adreel.web.request_ids import request_id

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5

STATUSES: dict[type[AdreelError], int] = {
    NotFound: 404,
    InputError: 422,
    PrefectUnreachable: 503,
    StorageError: 503,
    AdreelError: 500,
}

log = logging.getLogger("adreel.api")


class FieldProblem(BaseModel):
    """A validation error of one field."""

    field: str = Field(examples=["scene_descriptions.0.duration"])
    place: str = Field(description="body, path, query or header", examples=["body"])
    detail: str = Field(examples=["Input should be greater than 0"])


class ProblemDetails(BaseModel):
    """Why a request was not carried out (RFC 9457)."""

    type: str = Field(examples=["urn:adreel:problem:input"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["scene_descriptions.0.duration: Input should be greater than 0"])
    instance: str = Field(description="The path that was asked for", examples=["/api/sessions"])
    request_id: str = Field(description="Names the request in the server's log")
    errors: list[FieldProblem] = Field(default_factory=list)


class Refusal(Exception):
    """Ends a request with a problem; headers as HTTP needs them with its status."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.headers = list(errors), headers or {}

    def answer(self, path: str) -> Response:
        """Return the answer to a request for a path."""
        details = ProblemDetails(
            type=f"urn:adreel:problem:{self.code}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            instance=path,
            request_id=request_id(),
            errors=self.errors,
        )
        return JSONResponse(details.model_dump(), self.status, self.headers, MEDIA_TYPE)


@contextmanager
def naming(field: str, place: str = "body") -> Iterator[None]:
    """Name the field that is to blame for an InputError of the block."""
    try:
        yield
    except InputError as error:
        status = 404 if isinstance(error, NotFound) else 422
        blamed = FieldProblem(field=field, place=place, detail=str(error))
        raise Refusal(status, error.code, str(error), errors=[blamed]) from error


def refusal_of(error: Exception) -> Refusal:
    """Return how an error is told; what nobody foresaw is told without its words."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    if isinstance(error, HTTPException):
        return _of_http(error)
    if not isinstance(error, AdreelError):
        return Refusal(500, "unexpected", "something went wrong here; the log has it under this request_id")
    status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    # Addresses and replies of the storage and Prefect belong in the log, not into answers.
    if isinstance(error, PrefectUnreachable):
        detail = "Prefect gives no usable answer: the log says why"
        return Refusal(status, PrefectUnreachable.code, detail, headers=headers)
    detail = "the storage can't be used: the log says why" if isinstance(error, StorageError) else str(error)
    return Refusal(status, error.code, detail, headers=headers)


def _of_http(error: HTTPException) -> Refusal:
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return Refusal(422, "input", "the body can't be read as JSON")
    phrase = HTTPStatus(error.status_code).phrase
    return Refusal(error.status_code, "http", phrase, headers=dict(error.headers or {}))


def _invalid(errors: Sequence[Any]) -> Refusal:
    found = [_field(item) for item in errors]
    detail = "; ".join(f"{each.field}: {each.detail}" if each.field else each.detail for each in found)
    return Refusal(422, InputError.code, detail, errors=found)


def _field(item: Any) -> FieldProblem:
    place, *steps = item["loc"]
    if item["type"] == "json_invalid":
        return FieldProblem(field="", place="body", detail=f"no JSON: {item['ctx']['error']} at character {steps[0]}")
    if item["type"] == "model_attributes_type" and not steps:
        # FastAPI reads a body of another type as text: a form of another site must not pass for JSON.
        return FieldProblem(field="", place="body", detail="expected an object as Content-Type: application/json")
    return FieldProblem(
        field=".".join(str(step) for step in steps), place=str(place), detail=item["msg"].removeprefix("Value error, ")
    )


async def told(request: Request, error: Exception) -> Response:
    """Answer a request with an error; a dependency may also end one well, without a body."""
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.BAD_REQUEST:
        return Response(status_code=error.status_code)
    refusal = refusal_of(error)
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s", error, exc_info=None if isinstance(error, AdreelError) else error)
    return refusal.answer(request.scope["path"])


def tell_problems(app: FastAPI) -> None:
    """Make an app answer every error with problem details."""
    for kind in (Refusal, RequestValidationError, AdreelError, HTTPException):
        app.add_exception_handler(kind, told)
