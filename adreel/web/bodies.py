"""Stricter readers of request bodies than FastAPI's: they refuse a key or field that is there twice."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import parse_qsl

from fastapi import Request

from adreel.errors import InputError
from adreel.models.documents import duplicate_key
from adreel.web.problems import FieldProblem, HTTPProblem

METHODS_WITH_BODY = {"POST", "PUT", "PATCH"}
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"
MAX_FIELDS = 200
MB = 1024 * 1024
UPLOADS = {
    r"/api/sessions/[^/]+/inputs": 12 * MB,
    r"/new|/sessions/[^/]+/(scenes/[^/]+|options|edit)": 32 * MB,
    r"/new-campaign": 4 * MB,
}
"""Patterns of the paths that take files, and the largest bodies there. They are held in memory."""

_PART_NAME = re.compile(rb'(?i);\s*(name|filename)="([^"]*)"')
_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}


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


@dataclass(frozen=True)
class FileField:
    """A file of a multipart form; `filename` is untrusted."""

    name: str
    filename: str
    content: bytes


@dataclass(frozen=True)
class FormData:
    """A form: its text fields, and the files that were chosen."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[FileField] = field(default_factory=list)


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a URL-encoded form; HTTPProblem for another type, a field sent twice, or too many fields."""
    _check_type(request, FORM_TYPE)
    return _read_fields(await request.body())


async def read_form_with_files(request: Request) -> FormData:
    """Return the fields and files of a form, URL-encoded or multipart; HTTPProblem as for `read_form`."""
    if _check_type(request, FORM_TYPE, MULTIPART_TYPE) == FORM_TYPE:
        return FormData(_read_fields(await request.body()))
    form = FormData()
    for part in read_multipart(request.headers["content-type"], await request.body()):
        if isinstance(part, FileField):
            form.files.append(part)
            continue
        name, value = part
        if name in form.fields:
            raise _doubled(name)
        form.fields[name] = value
    return form


def read_multipart(content_type: str, body: bytes) -> list[FileField | tuple[str, str]]:
    """Parse a multipart form as browsers send it, without the fields of files that were not chosen.

    HTTPProblem if the form is malformed, truncated or has too many fields.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = str(header.get_param("boundary", "")).encode()
    _, *sections = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if not boundary or not sections or not sections[-1].startswith(b"--"):
        raise HTTPProblem(422, InputError.code, "the multipart form is malformed or incomplete")
    if len(sections) - 1 > MAX_FIELDS:
        raise _too_many_fields()
    found: list[FileField | tuple[str, str]] = []
    for section in sections[:-1]:
        head, separator, content = section.partition(b"\r\n\r\n")
        disposition = re.search(rb"(?im)^content-disposition:(.*)$", head)
        names = {key.lower(): text for key, text in _PART_NAME.findall(disposition[1] if disposition else b"")}
        if not separator or b"name" not in names:
            raise HTTPProblem(422, InputError.code, "the multipart form has a part without a name")
        name = _unescape(names[b"name"])
        if b"filename" not in names:
            found.append((name, content.decode(errors="replace")))
        elif names[b"filename"] or content:
            filename = re.split(r"[/\\]", _unescape(names[b"filename"]))[-1].strip()
            found.append(FileField(name, filename, content))
    return found


def _check_type(request: Request, *allowed: str) -> str:
    kind = request.headers.get("content-type", FORM_TYPE).partition(";")[0].strip().lower()
    if kind not in allowed:
        raise HTTPProblem(415, "formType", f"send the form as {' or '.join(allowed)}, not as {kind}")
    return kind


def _read_fields(body: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    try:
        for name, value in parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS):
            if name in fields:
                raise _doubled(name)
            fields[name] = value
    except ValueError:
        raise _too_many_fields() from None
    return fields


def _unescape(name: bytes) -> str:
    """Return the name of a field or file, which browsers escape as the WHATWG standard says."""
    text = name.decode(errors="replace")
    for escape, letter in _ESCAPES.items():
        text = text.replace(escape, letter)
    return text


def _doubled(name: str) -> HTTPProblem:
    return HTTPProblem(422, InputError.code, f"the form has {name!r} twice: send it once")


def _too_many_fields() -> HTTPProblem:
    return HTTPProblem(422, InputError.code, f"a form has at most {MAX_FIELDS} fields")
