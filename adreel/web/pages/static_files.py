"""The stylesheet, the script and the icon, each under an address that changes with its content."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response

from adreel.errors import NotFound

FOLDER = Path(__file__).with_name("static")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class StaticFile:
    """A file of the pages, as it is when it is first asked for."""

    content: bytes
    kind: str
    version: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Return all of them by their names."""
    paths = [path for path in FOLDER.iterdir() if path.suffix in TYPES]
    return {
        path.name: StaticFile(path.read_bytes(), TYPES[path.suffix], hashlib.sha256(path.read_bytes()).hexdigest()[:12])
        for path in paths
    }


def address(name: str) -> str:
    """Return where a file is served, as it is now."""
    return f"/static/{name}?v={static_files()[name].version}"


@router.get("/static/{name}")
async def static(name: str, v: str = "", if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """Serve a file; what was asked for by its version may be kept for ever."""
    file = static_files().get(name)
    if file is None:
        raise NotFound("no such file")
    kept = "public, max-age=31536000, immutable" if v == file.version else "no-cache"
    headers = {"ETag": f'"{file.version}"', "Cache-Control": kept}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.kind)
