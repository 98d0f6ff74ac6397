"""A stricter reading of JSON bodies than FastAPI's."""

import json
from contextlib import suppress

from fastapi import Request

from adreel.errors import InputError
from adreel.models.documents import duplicate_key
from adreel.web.problems import FieldProblem, HTTPProblem

METHODS_WITH_BODY = {"POST", "PUT", "PATCH"}


async def refuse_duplicate_keys(request: Request) -> None:
    """Raise HTTPProblem if a JSON body has a key twice: the last value would silently be bought."""
    if request.method not in METHODS_WITH_BODY:
        return
    body = await request.body()
    key = None
    # FastAPI refuses a body that is no JSON, where the route takes one at all.
    with suppress(ValueError, RecursionError):
        key = duplicate_key(body.decode(json.detect_encoding(body), "surrogatepass"))
    if key is not None:
        detail = f"{key!r} is there twice: keep one of them"
        raise HTTPProblem(422, InputError.code, detail, errors=[FieldProblem(field=key, place="body", detail=detail)])
