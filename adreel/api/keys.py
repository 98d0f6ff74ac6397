"""Who calls: by a key in `Authorization: Bearer`, or by the cookie that a browser got for one.

The cookie is signed with the key that was typed in, so every server knows it, none has to remember it, and it ends
when that key is taken out of the settings.
"""

import hashlib
import hmac
from dataclasses import dataclass

from pydantic import SecretStr

COOKIE = "adreel"
COOKIE_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Caller:
    """Somebody who may use the API; the name goes into the log."""

    name: str
    by_cookie: bool = False


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
        name, _, rest = cookie.partition(".")
        expires, _, _ = rest.partition(".")
        if name not in self._keys or not (expires.isascii() and expires.isdecimal() and len(expires) < 12):
            return None
        genuine = hmac.compare_digest(self._cookie(name, int(expires)).encode(), cookie.encode(errors="replace"))
        return Caller(name, by_cookie=True) if genuine and now < int(expires) else None

    def cookie(self, caller: Caller, now: float) -> str:
        """Return a cookie for a caller, good for COOKIE_SECONDS from now."""
        return self._cookie(caller.name, int(now) + COOKIE_SECONDS)

    def _cookie(self, name: str, expires: int) -> str:
        claim = f"{name}.{expires}"
        signature = hmac.new(self._keys[name], f"adreel sign-in\n{claim}".encode(), hashlib.sha256).hexdigest()
        return f"{claim}.{signature}"
