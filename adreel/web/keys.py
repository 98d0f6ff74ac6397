"""API keys, and the session cookies of people who sign in with a key.

A cookie is signed with its key. Every server can verify it without state, and it becomes invalid when the key is
removed from the settings. It contains the id of its sign-in, so that it can be revoked alone (`sign_outs`).
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from pydantic import SecretStr

ADMINISTERED = re.compile(r"(/api)?/sessions/[^/]+/(share|shares(/.*)?|delete)")
"""Paths for keys without a role, unless they are only read."""
COOKIE = "adreel"
COOKIE_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Caller:
    """An authenticated caller; the name is logged. `sign_in` and `expires` are those of a cookie."""

    name: str
    by_cookie: bool = False
    sign_in: str = field(default="", compare=False)
    expires: int = field(default=0, compare=False)
    role: str = "full"
    """`view` reads, `buy` also describes, orders and chooses; a key without a role also shares and deletes ads."""

    def may_change(self, method: str, path: str) -> bool:
        """Whether its role allows a request that changes something."""
        is_administration = method == "DELETE" or ADMINISTERED.fullmatch(path) is not None
        return self.role == "full" or (self.role == "buy" and not is_administration)


class Keys:
    """The keys of the settings, by name or name/role. They never appear in a message."""

    def __init__(self, keys: dict[str, SecretStr]) -> None:
        owners = {owner: owner.partition("/") for owner in keys}
        self._keys = {owners[owner][0]: key.get_secret_value().encode() for owner, key in keys.items()}
        self._roles = {name: role for name, _, role in owners.values() if role}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def caller_of_key(self, key: str) -> Caller | None:
        """Return the caller of a key, None for a wrong key, in constant time."""
        offered, found = key.encode(errors="replace"), None
        for name, known in self._keys.items():
            if hmac.compare_digest(known, offered):
                found = Caller(name, role=self._role(name))
        return found

    def caller_of_cookie(self, cookie: str, now: float) -> Caller | None:
        """Return the caller of a cookie, None if it is forged or expired; `now` is a Unix time."""
        found = re.fullmatch(r"([A-Za-z0-9_-]+)\.(\d{1,11})\.([0-9a-f]{32})\.[0-9a-f]{64}", cookie, re.ASCII)
        if not found or found[1] not in self._keys:
            return None
        name, expires, sign_in = found[1], int(found[2]), found[3]
        genuine = hmac.compare_digest(self._cookie(name, expires, sign_in).encode(), cookie.encode())
        if not genuine or now >= expires:
            return None
        return Caller(name, by_cookie=True, sign_in=sign_in, expires=expires, role=self._role(name))

    def cookie(self, caller: Caller, now: float) -> str:
        """Return a cookie for a caller, valid for COOKIE_SECONDS from `now`."""
        return self._cookie(caller.name, int(now) + COOKIE_SECONDS, secrets.token_hex(16))

    def _role(self, name: str) -> str:
        return self._roles.get(name, Caller.role)

    def _cookie(self, name: str, expires: int, sign_in: str) -> str:
        claim = f"{name}.{expires}.{sign_in}"
        signature = hmac.new(self._keys[name], f"adreel sign-in\n{claim}".encode(), hashlib.sha256).hexdigest()
        return f"{claim}.{signature}"
