"""The gate that every request passes, whatever it asks for: known callers only, and none that is forged.

It stands before the routing, so a page or route that is added later is behind it too. Open are only the signs of
life, the sign-in and what lies under /static/.

A browser sends its cookie along with requests that another site makes it send. Those are told by the headers that a
page can't set, `Sec-Fetch-Site` and `Origin`. A server without keys trusts who can reach its loopback address: it
takes the same care, and only answers to the loopback's names, which another site's DNS can't take.
"""

import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Protocol
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from adreel.errors import AdreelError
from adreel.settings import LOOPBACK
from adreel.web.guesses import GuessLimits, client_address
from adreel.web.keys import COOKIE, Caller, Keys
from adreel.web.problems import HTTPProblem, problem_of
from adreel.web.public_address import PublicAddress
from adreel.web.sign_outs import SignOuts

SIGN_IN = "/sign-in"
OPEN_PATHS = {"/healthz", "/readyz", SIGN_IN}
OPEN_FOLDER = "/static/"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
LOCAL_CALLER = Caller("local")
FORGED = "this request comes from another site: send it from this server's own pages"


class Limits(Protocol):
    """How often a caller may ask."""

    def wait(self, name: str) -> float:
        """Count a request; returns the seconds to wait if it is one too many, else 0."""
        ...


class AuthMiddleware:
    """Lets a request pass to the app with its caller in `request.state.caller`, or answers it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        limits: Limits,
        guesses: GuessLimits,
        sign_outs: SignOuts,
        address: PublicAddress,
        origins: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app, self._keys, self._limits, self._origins, self._clock = app, keys, limits, origins, clock
        self._guesses, self._sign_outs, self._address = guesses, sign_outs, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as ASGI does."""
        if scope["type"] != "http":
            # Only the lifespan is no request; there are no web sockets.
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            caller = await self._admit(request)
        except (HTTPProblem, AdreelError) as error:
            refusal = problem_of(error)
            answer = refusal.response(scope["path"])
            if refusal.status == 401 and _is_person(request):
                answer = RedirectResponse(f"{SIGN_IN}?{urlencode({'next': _target(request)})}", 303)
            await answer(scope, receive, send)
            return
        request.state.caller = caller
        await self._app(scope, receive, send)

    async def _admit(self, request: Request) -> Caller:
        headers, path = request.headers, request.scope["path"]
        if not self._keys:
            _check_host(headers)
        caller = self._caller(headers, client_address(request.scope))
        if caller is not None and caller.by_cookie and not is_open(path) and await self._sign_outs.has(caller):
            caller = None
        if caller is None and not is_open(path):
            detail = "send a key of ADREEL_API_KEYS as `Authorization: Bearer KEY`, or sign in at /sign-in"
            raise HTTPProblem(401, "noKey", detail, headers={"WWW-Authenticate": "Bearer"})
        if request.method not in SAFE_METHODS and (caller is None or caller == LOCAL_CALLER or caller.by_cookie):
            self._check_origin(headers, by_browser=caller is not None and caller.by_cookie)
        caller = caller or Caller("nobody")
        if not is_open(path) and (wait := self._limits.wait(caller.name)):
            detail = "too many requests: see ADREEL_REQUESTS_PER_MINUTE"
            raise HTTPProblem(429, "tooMany", detail, headers={"Retry-After": str(max(1, round(wait)))})
        return caller

    def _caller(self, headers: Headers, address: str) -> Caller | None:
        if not self._keys:
            return LOCAL_CALLER
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme:
            # A wrong key is not made good by a cookie: the caller has to hear of it.
            if scheme.lower() != "bearer":
                return None
            return self._guesses.judge(address, self._keys.caller_of_key(key.strip()))
        cookie = _cookie(headers)
        return self._keys.caller_of_cookie(cookie, self._clock()) if cookie else None

    def _check_origin(self, headers: Headers, *, by_browser: bool) -> None:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site in {"same-origin", "none"}:
            return
        if origin is not None and origin in self._origins and not by_browser:
            return
        if (
            site is None
            and origin is not None
            and (urlsplit(origin).netloc == headers.get("host") or origin == self._address.origin)
        ):
            return
        if site is None and origin is None and not by_browser:
            return
        raise HTTPProblem(403, "forged", _why_forged(headers) if site is None and origin else FORGED)


def _why_forged(headers: Headers) -> str:
    """Name what does not fit: behind a proxy that hides the Host, the server's own pages look like another site's."""
    origin, host = headers["origin"][:200], headers.get("host", "")[:200]
    return (
        f"{FORGED}. It comes from {origin} and names the host {host}: if both are this server behind a proxy, let the "
        "proxy pass the Host header on (nginx: proxy_set_header Host $http_host), or set ADREEL_PUBLIC_URL"
    )


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _check_host(headers: Headers) -> None:
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        name = None
    if name not in LOOPBACK:
        detail = (
            f"without ADREEL_API_KEYS this server answers to localhost only, not as {headers.get('host', '')[:200]!r}: "
            "set keys before you put it behind a proxy or a name"
        )
        raise HTTPProblem(421, "host", detail)


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _is_person(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def _target(request: Request) -> str:
    query = request.scope["query_string"].decode("latin-1")
    return quote(request.scope["path"], safe="/") + (f"?{query}" if query else "")
