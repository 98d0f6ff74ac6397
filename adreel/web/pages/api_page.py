"""The reference of the HTTP API, rendered from the server's own OpenAPI document."""

import re

from fastapi import APIRouter, Request, Response
from markupsafe import Markup, escape

from adreel import __version__
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.web.pages.api_reference import build_reference
from adreel.web.pages.rendering import PageRoute, page, templates
from adreel.web.public_address import PublicAddress

router = APIRouter(include_in_schema=False, route_class=PageRoute)


def prose(text: str) -> Markup:
    """Return a description as HTML: `code` in its element, and a paragraph for each part between blank lines."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup("".join(f"<p>{part}</p>" for part in re.split(r"\n\s*\n", marked) if part.strip()))  # noqa: S704


def inline(text: str) -> Markup:
    """Return a description as HTML within a line."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(" ".join(text.split())))))  # noqa: S704


templates.filters.update(prose=prose, inline=inline)


@router.get("/docs")
async def api_reference(request: Request) -> Response:
    """Show every operation with its fields, a request to copy and its answers."""
    address: PublicAddress = request.app.state.address
    here = f"{address.origin}{address.root}" or str(request.base_url).rstrip("/")
    needs_key = bool(request.app.state.keys)

    def render() -> Response:
        reference = build_reference(request.app.openapi(), here, needs_key=needs_key)
        return page(request, "api.html", reference=reference, address=here, needs_key=needs_key, version=__version__)

    return await run_in_threadpool(render)
