"""The `Idempotency-Key` header: a key of the caller becomes the key of one use case of the service."""

import hashlib
from typing import Annotated

from fastapi import Depends, Header, Request

from adreel.service import IDEMPOTENCY_KEY

KeyHeader = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_KEY,
        min_length=1,
        max_length=255,
        pattern=r"^[ -~]+$",
        description="A repeated request with the same key and body gets the first answer and buys nothing; another "
        "body is refused with 422",
        examples=["2f1c7e0a-order-17"],
    ),
]


def scoped_key(request: Request, key: str | None) -> str | None:
    """Hash a caller's key with the caller's name and the route: keys of different callers never meet."""
    if key is None:
        return None
    caller = request.state.caller.name
    return "api-" + hashlib.sha256("\n".join((caller, request.scope["path"], key)).encode()).hexdigest()


async def get_scoped_key(request: Request, key: KeyHeader = None) -> str | None:
    """Return the scoped key of a request, None without the header."""
    return scoped_key(request, key)


ScopedKey = Annotated[str | None, Depends(get_scoped_key)]
