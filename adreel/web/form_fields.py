"""A strict reader of HTML forms. FastAPI's own takes multipart bodies too, and the last of two fields of one name."""

from urllib.parse import parse_qsl

from fastapi import Request

from adreel.web.problems import HTTPProblem

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 200


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
                raise HTTPProblem(422, "input", f"the form has {name!r} twice: send it once")
            fields[name] = value
    except ValueError:
        raise HTTPProblem(422, "input", f"a form has at most {MAX_FIELDS} fields") from None
    return fields
