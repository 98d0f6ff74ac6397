"""Proxy variables: loopback is always reached directly, and all libraries use the same proxy.

httpx, aiohttp and websockets read HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY by different rules. The functions
here normalise the environment, so all of them, and child processes, choose the same proxy.
"""

import os
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from adreel.errors import InputError

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


def bypass_loopback() -> None:
    """Add the loopback hosts to NO_PROXY and no_proxy, for this process and its children.

    Otherwise requests to a local Prefect server, emulator or page would go to a proxy that can't reach them.
    """
    present = {name: os.environ[name] for name in ("no_proxy", "NO_PROXY") if name in os.environ}
    for name in ("no_proxy", "NO_PROXY"):
        # Libraries differ in the name that they prefer. A missing variable gets the entries of the other.
        given = present.get(name, next(iter(present.values()), ""))
        entries = [entry.strip() for entry in given.split(",") if entry.strip()]
        if "*" not in entries:
            entries += [host for host in LOOPBACK_HOSTS if host not in entries]
        os.environ[name] = ",".join(entries)


def unify_proxies() -> None:
    """Normalise HTTP_PROXY and HTTPS_PROXY for all libraries, with ALL_PROXY as their default.

    Raises InputError for a proxy that is not an http proxy. Called before a purchase: otherwise the libraries would
    fail later, each in its own way, and a download would silently bypass the proxy.
    """
    proxies = getproxies_environment()
    if not proxies.keys() & {"http", "https", "all", "socks"}:
        return
    if "socks" in proxies:
        raise _unsupported("SOCKS_PROXY", "socks")
    for kind in ("http", "https"):
        source = kind if kind in proxies else "all"
        if not (url := proxies.get(source)):
            continue
        url = url if "://" in url else f"http://{url}"
        if (scheme := urlsplit(url).scheme) != "http":
            raise _unsupported(f"{source.upper()}_PROXY", scheme)
        os.environ[f"{kind}_proxy"] = os.environ[f"{kind.upper()}_PROXY"] = url
    # httpx opens ALL_PROXY even where the other two are used, and fails if it is a SOCKS proxy.
    for name in ("all_proxy", "ALL_PROXY"):
        os.environ.pop(name, None)


def _unsupported(name: str, scheme: str) -> InputError:
    return InputError(
        f"{name} is a {scheme} proxy, and only http proxies are supported: set HTTP_PROXY and HTTPS_PROXY to"
        f" http://..., or unset {name}"
    )
