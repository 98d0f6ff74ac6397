"""The stylesheet, the script and the icon. Pages link to them by a URL with a version of their content."""

import hashlib
import mimetypes
from functools import cache
from os import PathLike, stat_result
from pathlib import Path
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).with_name("static")
# The host's table of types may say otherwise, and browsers would refuse the script.
mimetypes.add_type("text/javascript", ".js")


@cache
def static_url(name: str) -> str:
    """Return the URL of a file, with its version."""
    return f"/static/{name}?v={hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]}"


class VersionedStaticFiles(StaticFiles):
    """Static files that browsers may cache for ever if they were requested by their version."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the response for a file, with its Cache-Control."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        version = parse_qs(scope["query_string"].decode("latin-1")).get("v", [""])[0]
        is_versioned = static_url(Path(full_path).name).endswith(f"?v={version}")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_versioned else "no-cache"
        return response
