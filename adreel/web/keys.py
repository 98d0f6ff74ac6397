"""Authentication of callers by a key in `Authorization: Bearer`, or by a cookie of the sign-in.

The cookie is signed with the key that was typed in, so every server knows it, none has to remember it, and it ends
when that key is taken out of the settings. It names its sign-in, so that it can be ended alone (`sign_outs`).
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from pydantic import SecretStr

COOKIE = "adreel"
COOKIE_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Caller:
    """Somebody who may use the API; the name goes into the log. A cookie has its sign-in and the time of its end."""

    name: str
    by_cookie: bool = False
    sign_in: str = field(default="", compare=False)
    expires: int = field(default=0, compare=False)


class Keys:
    """The keys of the settings; none of them is ever part of a text."""

    def __init__(self, keys: dict[str, SecretStr]) -> None:
        self._keys = {name: key.get_secret_value().encode() for name, key in keys.items()}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def caller_of_key(self, key: str) -> Caller | None:
        """Return whose key it is; takes the same time for every wrong key."""
        offered, found = key.encode(errors="replace"), None
        for name, known in self._keys.items():
            if hmac.compare_digest(known, offered):
                found = Caller(name)
        return found

    def caller_of_cookie(self, cookie: str, now: float) -> Caller | None:
        """Return whose cookie it is, if it is genuine and has not expired; `now` in seconds since 1970."""
        found = re.fullmatch(r"([A-Za-z0-9_-]+)\.(\d{1,11})\.([0-9a-f]{32})\.[0-9a-f]{64}", cookie, re.ASCII)
        if not found or found[1] not in self._keys:
            return None
        name, expires, sign_in = found[1], int(found[2]), found[3]
        genuine = hmac.compare_digest(self._cookie(name, expires, sign_in).encode(), cookie.encode())
        return Caller(name, by_cookie=True, sign_in=sign_in, expires=expires) if genuine and now < expires else None

    def cookie(self, caller: Caller, now: float) -> str:
        """Return a cookie for a caller, good for COOKIE_SECONDS from now."""
        return self._cookie(caller.name, int(now) + COOKIE_SECONDS, secrets.token_hex(16))

    def _cookie(self, name: str, expires: int, sign_in: str) -> str:
        claim = f"{name}.{expires}.{sign_in}"
        signature = hmac.new(self._keys[name], f"adreel sign-in\n{claim}".encode(), hashlib.sha256).hexdigest()
        return f"{claim}.{signature}"
