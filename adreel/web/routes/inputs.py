"""Images that scenes start from, end with or refer to: upload one to a session, and read it."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from adreel.errors import InputError
from adreel.models.api import INPUT_FILE_PATTERN, StoredInput
from adreel.orchestration.thread_pools import CLIPS, run_in, run_in_threadpool
from adreel.records.inputs import MEDIA_TYPES
from adreel.web.bodies import MULTIPART_TYPE, FileField, read_multipart
from adreel.web.dependencies import ServiceDep, SessionId
from adreel.web.openapi import answers
from adreel.web.problems import HTTPProblem

RAW_TYPES = {*MEDIA_TYPES.values(), "application/octet-stream"}
BINARY = {"schema": {"type": "string", "format": "binary"}}
UPLOAD: dict[str, Any] = {
    "required": True,
    "content": dict.fromkeys(sorted(RAW_TYPES), BINARY)
    | {
        MULTIPART_TYPE: {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}},
                "required": ["file"],
            }
        }
    },
}

router = APIRouter(prefix="/api/sessions/{session_id}/inputs", tags=["sessions"])


@router.post("", status_code=201, responses=answers(404, 415, 503), openapi_extra={"requestBody": UPLOAD})
async def upload_input(
    session_id: SessionId,
    request: Request,
    service: ServiceDep,
    name: Annotated[str, Query(max_length=200, description="File name of an image that is the whole body")] = "image",
) -> StoredInput:
    """Store an image as an input of a session: a PNG, JPEG or WebP file, as the body or as `file` of a form.

    Scenes of the session name it by the `input` of the answer. Nothing is bought.
    """
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    content = await request.body()
    if kind == MULTIPART_TYPE:
        parts = read_multipart(request.headers["content-type"], content)
        files = [part for part in parts if isinstance(part, FileField) and part.name == "file"]
        if len(files) != 1 or len(parts) != 1:
            raise HTTPProblem(422, InputError.code, "the form has to have one field, a `file`")
        content, name = files[0].content, files[0].filename
    elif kind not in RAW_TYPES:
        raise HTTPProblem(415, "imageType", f"send the image as image/png, image/jpeg or image/webp, not as {kind}")
    return await run_in_threadpool(service.add_input, session_id, content, name)


@router.get(
    "/{file}",
    response_class=Response,
    responses={
        200: {"description": "The image", "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY)},
        304: {"description": "The image is the one of `If-None-Match`"},
        **answers(404, 503),
    },
)
async def read_input(
    session_id: SessionId,
    file: Annotated[str, Path(pattern=INPUT_FILE_PATTERN, examples=[f"{'0' * 64}.jpg"])],
    service: ServiceDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return an input of a session. It never changes."""
    content = await run_in(CLIPS, lambda: service.read_input(session_id, file))
    etag = f'"{file}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    if known & {etag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=MEDIA_TYPES[file.rpartition(".")[2]])
