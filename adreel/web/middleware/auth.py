"""Authentication of every request, before the routing, so that no route or page can be added without it.

Only the probes, the sign-in and /static/ need no key. Below /share/, the token in the path takes its place (`guests`).

A browser adds its cookie to requests that another site makes it send (CSRF). Such a request is recognised by headers
that a page can't set: `Sec-Fetch-Site` and `Origin`. A server without keys trusts everybody who can reach its loopback
address. It checks these headers too, and answers only to loopback names, which protects from DNS rebinding.
"""

import time
from collections.abc import Callable
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from adreel.errors import AdreelError
from adreel.records.sharing import SHARE_PATH
from adreel.settings import LOOPBACK
from adreel.web.keys import COOKIE, Caller, Keys
from adreel.web.middleware.limits import RateLimiter
from adreel.web.pages.rendering import not_allowed, problem_page
from adreel.web.problems import HTTPProblem, problem_of
from adreel.web.public_address import PublicAddress
from adreel.web.sign_outs import SignOuts
from adreel.web.wrong_keys import WrongKeyLimiter, client_address

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
OPEN_PATHS = {"/healthz", "/readyz", SIGN_IN}
OPEN_FOLDERS = ("/static/", SHARE_PATH)
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
LOCAL_CALLER = Caller("local")


class AuthMiddleware:
    """Answers unauthenticated, forged and too frequent requests; the others get their `request.state.caller`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        rate_limiter: RateLimiter,
        wrong_keys: WrongKeyLimiter,
        sign_outs: SignOuts,
        address: PublicAddress,
        origins: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app, self._keys, self._origins, self._clock = app, keys, origins, clock
        self._rate_limiter, self._wrong_keys = rate_limiter, wrong_keys
        self._sign_outs, self._address = sign_outs, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            # The lifespan: there are no WebSocket routes.
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            request.state.caller = await self._authenticate(request)
        except (HTTPProblem, AdreelError) as error:
            problem = problem_of(error)
            response = problem.response(scope["path"])
            wants_page = "text/html" in request.headers.get("accept", "")
            if problem.code == "role" and wants_page:
                response = problem_page(request, problem)
            if problem.status == 401 and wants_page and request.method in {"GET", "HEAD"}:
                query = scope["query_string"].decode("latin-1")
                target = quote(scope["path"], safe="/") + (f"?{query}" if query else "")
                response = RedirectResponse(f"{SIGN_IN}?{urlencode({'next': target})}", 303)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _authenticate(self, request: Request) -> Caller:
        headers, needs_key = request.headers, not is_open(request.scope["path"])
        caller: Caller | None = None
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if not self._keys:
            check_host(headers)
            caller = LOCAL_CALLER
        elif scheme:
            # A cookie does not replace a wrong key: the caller has to learn that it is wrong.
            if scheme.lower() == "bearer":
                address = client_address(request.scope)
                caller = self._wrong_keys.check(address, self._keys.caller_of_key(key.strip()))
        elif cookie := request.cookies.get(COOKIE):
            caller = self._keys.caller_of_cookie(cookie, self._clock())
            if caller is not None and needs_key and await self._sign_outs.has(caller):
                caller = None
        if caller is None and needs_key:
            detail = "send a key of ADREEL_API_KEYS as `Authorization: Bearer KEY`, or sign in at /sign-in"
            raise HTTPProblem(401, "noKey", detail, headers={"WWW-Authenticate": "Bearer"})
        by_cookie = caller is not None and caller.by_cookie
        if request.method not in SAFE_METHODS and (caller in {None, LOCAL_CALLER} or by_cookie):
            self._check_origin(headers, by_cookie=by_cookie)
        caller = caller or Caller("nobody")
        changes = request.method not in SAFE_METHODS and request.scope["path"] != SIGN_OUT
        if needs_key and changes and not caller.may_change(request.method, request.scope["path"]):
            request.state.caller = caller
            raise not_allowed(caller)
        if needs_key and (seconds := self._rate_limiter.wait(caller.name)):
            detail = "too many requests: see ADREEL_REQUESTS_PER_MINUTE"
            raise HTTPProblem(429, "tooMany", detail, headers={"Retry-After": str(max(1, round(seconds)))})
        return caller

    def _check_origin(self, headers: Headers, *, by_cookie: bool) -> None:
        """Raise HTTPProblem for a request that another site made a browser send."""
        site, origin, host = headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host", "")
        detail = "this request comes from another site: send it from this server's own pages"
        if site in {"same-origin", "none"} or (origin in self._origins and not by_cookie):
            return
        if site is None and origin is None and not by_cookie:
            # Not a browser.
            return
        if site is None and origin is not None:
            if urlsplit(origin).netloc == host or origin == self._address.origin:
                return
            # Behind a proxy that hides the Host header, the server's own pages look like another site.
            detail += (
                f". It comes from {origin[:200]} and names the host {host[:200]}: if both are this server behind a"
                " proxy, let the proxy pass the Host header on (nginx: proxy_set_header Host $http_host), or set"
                " ADREEL_PUBLIC_URL"
            )
        raise HTTPProblem(403, "forged", detail)


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def check_host(headers: Headers) -> None:
    """Raise HTTPProblem unless the Host header is a loopback name."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in LOOPBACK:
        detail = (
            f"without ADREEL_API_KEYS this server answers to localhost only, not as {host[:200]!r}: "
            "set keys before you put it behind a proxy or a name"
        )
        raise HTTPProblem(421, "host", detail)
