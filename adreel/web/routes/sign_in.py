"""Sign-in with a key in a browser: the form, the cookie, and the sign-out."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse, RedirectResponse, Response

from adreel.web.bodies import read_form
from adreel.web.keys import COOKIE, COOKIE_SECONDS, Keys
from adreel.web.middleware.auth import SIGN_IN, SIGN_OUT
from adreel.web.problems import HTTPProblem
from adreel.web.public_address import PublicAddress
from adreel.web.sign_outs import SignOuts
from adreel.web.wrong_keys import WrongKeyLimiter, client_address

HOME = "/"
router = APIRouter(include_in_schema=False)
templates = Environment(loader=PackageLoader("adreel.web"), autoescape=True)


@router.get(SIGN_IN)
async def form(request: Request, target: Annotated[str, Query(alias="next")] = HOME) -> Response:
    """Show the sign-in form."""
    if not request.app.state.keys:
        return RedirectResponse(local_target(target), 303)
    return _page(local_target(target))


@router.post(SIGN_IN)
async def sign_in(request: Request) -> Response:
    """Set a cookie for a valid key, and redirect to the page that was requested."""
    fields = await read_form(request)
    keys: Keys = request.app.state.keys
    target = local_target(fields.get("next", HOME))
    wrong_keys: WrongKeyLimiter = request.app.state.wrong_keys
    try:
        caller = wrong_keys.check(client_address(request.scope), keys.caller_of_key(fields.get("key", "").strip()))
    except HTTPProblem as problem:
        response = _page(target, error="Too many wrong keys: please wait a moment.", status=problem.status)
        response.headers.update(problem.headers)
        return response
    if caller is None:
        return _page(target, error="This key is not valid.", status=403)
    address: PublicAddress = request.app.state.address
    response = RedirectResponse(target, 303)
    response.set_cookie(
        COOKIE,
        keys.cookie(caller, time.time()),
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="strict",
        secure=address.is_https(request.scope),
    )
    return response


@router.post(SIGN_OUT)
async def sign_out(request: Request) -> Response:
    """Revoke the cookie on every server, and delete it in the browser."""
    sign_outs: SignOuts = request.app.state.sign_outs
    await sign_outs.end(request.state.caller)
    response = RedirectResponse(SIGN_IN, 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def local_target(path: str) -> str:
    """Return a path of this server; one that could lead to another host becomes the first page (open redirects)."""
    is_local = path.startswith("/") and not path.startswith("//") and path.isprintable() and "\\" not in path
    return path if is_local else HOME


def _page(target: str, error: str = "", status: int = 200) -> Response:
    return HTMLResponse(templates.get_template("sign-in.html").render(target=target, error=error), status)
