"""Fields of an HTML form, for the sign-in and the storyboard."""

from urllib.parse import parse_qsl

from fastapi import Request

from adreel.web.problems import Refusal

FORM_TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 200


async def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of a URL-encoded form; Refusal for another type of body or too many fields."""
    kind = request.headers.get("content-type", FORM_TYPE).partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        raise Refusal(415, "formType", f"send the form as {FORM_TYPE}, not as {kind}")
    body = (await request.body()).decode(errors="replace")
    try:
        sent = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refusal(422, "input", f"a form has at most {MOST_FIELDS} fields") from None
    fields = dict(sent)
    if len(fields) != len(sent):
        doubled = next(name for name in fields if [each for each, _ in sent].count(name) > 1)
        raise Refusal(422, "input", f"the form has {doubled!r} twice: send it once")
    return fields
