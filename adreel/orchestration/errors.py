"""Conversion of errors of Prefect's client to PrefectUnreachable or PrefectMisconfigured, with advice.

Prefect's client raises errors of httpx, pydantic and json, its own errors and plain RuntimeErrors. This module does not
import Prefect at its top, because that import fails if one of Prefect's settings is wrong.
"""

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pydantic

from adreel.errors import AdreelError, PrefectMisconfigured, PrefectUnreachable
from adreel.orchestration.embedded_server import is_embedded

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import ObjectNotFound

START_IT = "start it (prefect server start, or adreel up), or correct PREFECT_API_URL"
USE_THE_API = "set PREFECT_API_URL to the address of Prefect's API, which ends in /api: http://localhost:4200/api"
USE_THE_API_OF_SAME_VERSION = f"{USE_THE_API}; if it is one, install the same version of Prefect on both sides"
SIGN_IN = "set PREFECT_API_AUTH_STRING to what the server has as PREFECT_SERVER_API_AUTH_STRING"
MAX_SHOWN = 200


def without_prefix(message: str) -> str:
    """Return the message of a state without the words that Prefect puts in front of an exception."""
    return re.sub(r"(Flow|Task) run encountered an exception:?\s*(\w+: )?", "", message)


@contextmanager
def prefect_errors(doing: str = "") -> Iterator[None]:
    """Raise errors of Prefect as PrefectUnreachable or PrefectMisconfigured; `doing` begins their message."""
    try:
        yield
    except AdreelError:
        raise
    except Exception as error:
        if (explained := explain(error)) is None:
            raise
        reason = f"can't {doing}: {explained.reason}" if doing else explained.reason
        raise type(explained)(reason, explained.advice) from error


def explain(error: Exception) -> PrefectUnreachable | None:
    """Return an error of Prefect's client as an error with advice; None for an error from elsewhere."""
    # ObjectNotFound and ObjectAlreadyExists keep the original error.
    error = getattr(error, "http_exc", None) or error
    found: PrefectUnreachable | None = None
    if isinstance(error, PrefectUnreachable):
        found = error
    elif isinstance(error, httpx.HTTPStatusError):
        found = _from_response(error.response)
    elif isinstance(error, json.JSONDecodeError):
        found = _not_prefect(error.doc)
    elif isinstance(error, RecursionError):
        found = _not_prefect("JSON that is nested too deeply")
    elif isinstance(error, UnicodeDecodeError) or "integer string conversion" in str(error):
        found = _not_prefect("no JSON that Python reads")
    elif isinstance(error, pydantic.ValidationError):
        found = _wrong_shape(error)
    elif isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        found = PrefectMisconfigured(f"PREFECT_API_URL is {address()!r}, not an http:// or https:// URL", USE_THE_API)
    elif isinstance(error, httpx.HTTPError | TimeoutError):
        found = _unreachable(error)
    elif str(error).startswith("Failed to reach API") and isinstance(error.__cause__, Exception):
        found = explain(error.__cause__)
    elif type(error).__module__ == "prefect.exceptions" or str(error).startswith("Found incompatible versions"):
        found = PrefectMisconfigured(f"Prefect: {_shown(str(error)) or type(error).__name__}")
    return found


def is_missing(error: "ObjectNotFound") -> bool:
    """Whether Prefect itself reports a missing object; a 404 of another server proves nothing."""
    response = getattr(error.http_exc, "response", None)
    return isinstance(response, httpx.Response) and _is_of_prefect(response)


def check_server(client: "SyncPrefectClient") -> str:
    """Return the version of the server; PrefectUnreachable or PrefectMisconfigured without Prefect's API."""
    with prefect_errors():
        try:
            version = client.request("GET", "/admin/version").json()
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                raise _no_route(error.response) from error
            raise
    if not (isinstance(version, str) and re.match(r"\d+\.\d+", version)):
        raise _not_prefect(json.dumps(version))
    return version


def address() -> str:
    """Return PREFECT_API_URL without its password."""
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - takes seconds

    url: str = PREFECT_API_URL.value()
    if not url or is_embedded():
        return "the embedded server"
    return re.sub(r"//[^/@]*@", "//***@", url)


def _from_response(response: httpx.Response) -> PrefectUnreachable:
    server, status = f"Prefect at {address()}", response.status_code
    said = f"(HTTP {status}{_said(response)})"
    if status == httpx.codes.UNAUTHORIZED:
        return PrefectMisconfigured(f"{server} rejects the credentials (HTTP 401)", SIGN_IN)
    if status == httpx.codes.FORBIDDEN:
        advice = f"{SIGN_IN}; for a proxy, PREFECT_CLIENT_CUSTOM_HEADERS"
        return PrefectMisconfigured(f"{server}, or a proxy before it, refuses access {said}", advice)
    if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        advice = "correct HTTP_PROXY and HTTPS_PROXY"
        return PrefectMisconfigured(f"the proxy before {address()} wants a sign-in (HTTP 407)", advice)
    if status == httpx.codes.NOT_FOUND:
        missing = PrefectUnreachable(f"{server} has no such object {said}", "adreel deploy creates what is missing")
        return missing if _is_of_prefect(response) else _no_route(response)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return PrefectUnreachable(f"{server}, or a proxy before it, failed {said}", "look into its log")
    advice = "install the same version of Prefect on both sides, if they differ"
    return PrefectUnreachable(f"{server} refused {response.request.url.path} {said}", advice)


def _no_route(response: httpx.Response) -> PrefectMisconfigured:
    return PrefectMisconfigured(
        f"{address()} has no {response.request.url.path} (HTTP 404{_said(response)}), so it is not Prefect's API",
        USE_THE_API_OF_SAME_VERSION,
    )


def _is_of_prefect(response: httpx.Response) -> bool:
    # Unknown paths of Prefect's API get "Not Found", as on every server built on Starlette.
    body = _json(response)
    return isinstance(body, dict) and _reason(body, "Not Found") != "Not Found"


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _reason(body: dict[str, Any], default: object) -> object:
    return body.get("exception_message") or body.get("detail") or default


def _said(response: httpx.Response) -> str:
    """Return the reason in a response, after a colon."""
    if isinstance(body := _json(response), dict):
        return f": {_shown(str(_reason(body, body)))}"
    return f": {_title(text)}" if (text := response.text).lstrip().startswith("<") else ""


def _not_prefect(content: str) -> PrefectMisconfigured:
    if content.lstrip().startswith("<"):
        return PrefectMisconfigured(
            f"{address()} answers with a web page ({_title(content)}) instead of Prefect's API",
            f"{USE_THE_API}; for a sign-in page before it, PREFECT_CLIENT_CUSTOM_HEADERS",
        )
    return PrefectMisconfigured(f"{address()} answers, but not like Prefect's API ({_shown(content)})", USE_THE_API)


def _wrong_shape(error: pydantic.ValidationError) -> PrefectMisconfigured:
    wrong = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)[:3]]
    what = _shown("; ".join(wrong))
    if error.title.endswith("Settings"):
        advice = "correct the variable PREFECT_..., or the profile in ~/.prefect/profiles.toml"
        return PrefectMisconfigured(f"a setting of Prefect is wrong ({what})", advice)
    return PrefectMisconfigured(
        f"{address()} answers, but not like Prefect's API (no {error.title}: {what})", USE_THE_API_OF_SAME_VERSION
    )


def _unreachable(error: Exception) -> PrefectUnreachable:
    reason = _shown(str(error)) or type(error).__name__
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return PrefectUnreachable(f"Prefect at {address()} does not answer in time ({type(error).__name__})", START_IT)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        tls = _shown(str(cause.reason or cause))
        advice = "name its authority in PREFECT_API_SSL_CERT_FILE, or correct PREFECT_API_URL"
        if "CERTIFICATE" not in tls:
            advice = "if it is plain http, begin PREFECT_API_URL with http://"
        return PrefectMisconfigured(f"no TLS connection to Prefect at {address()} ({tls})", advice)
    if isinstance(error, httpx.TooManyRedirects | httpx.DecodingError):
        return PrefectMisconfigured(f"{address()} answers, but not like Prefect's API ({reason})", USE_THE_API)
    return PrefectUnreachable(f"Prefect at {address()} does not answer ({reason})", START_IT)


def _title(page: str) -> str:
    found = re.search(r"<title[^>]*>([^<]*)", page[:10_000], re.IGNORECASE)
    return repr(_shown(found[1])) if found else "HTML"


def _shown(text: str) -> str:
    """Return a foreign text as one short line without control characters."""
    printable = "".join(each if each.isprintable() else " " for each in text[: 4 * MAX_SHOWN])
    return " ".join(printable.split())[:MAX_SHOWN]
