"""Stricter readers of request bodies than FastAPI's: they refuse a key or field that is there twice."""

import json
from contextlib import suppress
from urllib.parse import parse_qsl

from fastapi import Request

from adreel.errors import InputError
from adreel.models.documents import duplicate_key
from adreel.web.problems import FieldProblem, HTTPProblem

METHODS_WITH_BODY = {"POST", "PUT", "PATCH"}
FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 200


async def refuse_duplicate_keys(request: Request) -> None:
    """Raise HTTPProblem if a JSON body has a key twice: the last value would silently be bought."""
    if request.method not in METHODS_WITH_BODY:
        return
    body = await request.body()
    key = None
    # FastAPI refuses a body that is not JSON, where the route takes one at all.
    with suppress(ValueError, RecursionError):
        key = duplicate_key(body.decode(json.detect_encoding(body), "surrogatepass"))
    if key is not None:
        detail = f"{key!r} appears twice: keep one of them"
        errors = [FieldProblem(field=key, place="body", detail=detail)]
        raise HTTPProblem(422, InputError.code, detail, errors=errors)


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a URL-encoded form; HTTPProblem for another type, a field sent twice, or too many fields."""
    kind = request.headers.get("content-type", FORM_TYPE).partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        raise HTTPProblem(415, "formType", f"send the form as {FORM_TYPE}, not as {kind}")
    body = (await request.body()).decode(errors="replace")
    fields: dict[str, str] = {}
    try:
        for name, value in parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FIELDS):
            if name in fields:
                raise HTTPProblem(422, InputError.code, f"the form has {name!r} twice: send it once")
            fields[name] = value
    except ValueError:
        raise HTTPProblem(422, InputError.code, f"a form has at most {MAX_FIELDS} fields") from None
    return fields
