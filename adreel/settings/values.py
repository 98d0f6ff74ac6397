"""Validation of single values of the settings: each function raises a ValueError that names what is expected."""

import re
from ipaddress import ip_network
from urllib.parse import urlsplit

from pydantic import SecretStr

from adreel.errors import InputError
from adreel.models.documents import SIZE_ADVICE, read_json
from adreel.models.sessions import ID_PATTERN, SIZE_PATTERN
from adreel.settings.proxies import LOOPBACK_HOSTS

IN_QUOTES = re.compile(r"""(["']).*\1""", re.DOTALL)
HOST_PATTERN = re.compile(r"[\w-]+(\.[\w-]+)*")
ROLES = ("view", "buy")
"""Roles of a key of the HTTP API: `view` changes nothing, `buy` may do everything."""


def checked_key(key: str) -> str:
    """Validate a key of Runware; the ValueError does not repeat it."""
    if not re.fullmatch(r"[!-~]+", key) or re.fullmatch(IN_QUOTES, key):
        raise ValueError(
            "it is empty, in quotes, or has a blank, a line break or a letter that no key has: copy it again"
        )
    return key


def secret_key(value: SecretStr) -> SecretStr:
    """Validate a key of Runware."""
    return SecretStr(checked_key(value.get_secret_value()))


def parsed_address(value: str) -> str:
    """Validate an address; urlsplit raises a ValueError for a malformed one."""
    urlsplit(value)
    return value


def public_address(value: str) -> str:
    """Validate the public address of `adreel serve`."""
    if not urlsplit(value).hostname or re.search(r"[?#\s]", value):
        raise ValueError("it has to be the address of a page, without ? and #, such as https://ads.example")
    return value


def catalog_address(value: str) -> str:
    """Validate the address of the pages about models: https, or a server on this machine."""
    parts = urlsplit(value)
    is_own = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or is_own) or re.search(r"[?#@\s]", value):
        raise ValueError(
            "it has to begin with https://, or with http:// and a host of this machine, without ?, # and @"
        )
    return value


def web_address(value: SecretStr) -> SecretStr:
    """Validate the address of a webhook."""
    if not re.match(r"https?://[^/]", value.get_secret_value()):
        raise ValueError("it has to begin with http:// or https://")
    return value


def json_object(value: SecretStr) -> SecretStr:
    """Validate options that are a JSON object."""
    try:
        found = read_json(value.get_secret_value(), "it")
    except InputError as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, dict):
        raise ValueError('it has to be a JSON object, such as {"endpoint_url": "https://..."}')  # noqa: TRY004 - pydantic takes no other
    return value


def clip_size(value: str) -> str:
    """Validate a size as WIDTHxHEIGHT."""
    if not re.fullmatch(SIZE_PATTERN, value):
        raise ValueError(f"{value!r} is {'an aspect ratio' if ':' in value else 'not a size'}: {SIZE_ADVICE}")
    return value


def network(value: str) -> str:
    """Validate an IP address or network."""
    try:
        ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is neither an address nor a network, such as 10.0.0.0/8") from None
    return value


def host(value: str) -> str:
    """Validate a host name, and return it in lower case and in Unicode."""
    if not re.fullmatch(HOST_PATTERN, value):
        raise ValueError(f"{value!r} is not a host: give only its name, such as cdn.example; subdomains count too")
    # URLs are compared in Unicode, the form that people read.
    return value.encode().decode("idna") if "xn--" in value.lower() else value.lower()


def origin(value: str) -> str:
    """Validate an origin, and return it in lower case without a slash at its end."""
    found = value.rstrip("/").lower()
    if not re.fullmatch(r"https?://[^/?#@*\s]+", found):
        raise ValueError(f"{found!r} is not an origin: give a scheme and a host, such as https://shop.example")
    return found


def api_keys(text: str) -> dict[str, str]:
    """Parse `name:key,name/role:key` into keys by name and role; the ValueError repeats no key."""
    keys: dict[str, str] = {}
    names: set[str] = set()
    for part in filter(str.strip, text.split(",")):
        owner, _, key = (each.strip() for each in part.partition(":"))
        name, slash, role = owner.partition("/")
        if not key:
            raise ValueError("each key needs a name for the log: name:key, comma-separated")
        if not re.fullmatch(ID_PATTERN, name) or name in names:
            raise ValueError("each name is letters, digits, '-' and '_', and is given once")
        if slash and role not in ROLES:
            raise ValueError(f"the role of {name!r} is not one of {', '.join(ROLES)}")
        if not re.fullmatch(r"[!-~]{16,}", key):
            raise ValueError(f"the key of {name!r} needs at least 16 visible ASCII characters")
        names.add(name)
        keys[owner] = key
    return keys
