"""The same call twice is carried out once: `Idempotency-Key`.

Nothing is remembered here. The key, hashed with the caller's name and the route, is the idempotency key of the flow
run in Prefect; the run carries a fingerprint of what was asked for. So a repeat finds the first run whichever server
it reaches, and gets the same answer, for as long as Prefect keeps the run.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from adreel.orchestration.runs import Run
from adreel.web.problems import FieldProblem, Refusal

FINGERPRINT = "adreel.request"
HEADER = "Idempotency-Key"


SentKey = Annotated[
    str | None,
    Header(
        alias=HEADER,
        min_length=1,
        max_length=255,
        pattern=r"^[ -~]+$",
        description="The same key and body again gets the first answer, and buys nothing; another body is 422",
        examples=["2f1c7e0a-order-17"],
    ),
]


def scoped_key(request: Request, key: str | None) -> str | None:
    """Return the caller's key for this route as Prefect gets it; None if none was sent."""
    if key is None:
        return None
    caller = request.state.caller.name
    return "api-" + hashlib.sha256("\n".join((caller, request.scope["path"], key)).encode()).hexdigest()


async def _sent_key(request: Request, key: SentKey = None) -> str | None:
    return scoped_key(request, key)


ScopedKey = Annotated[str | None, Depends(_sent_key)]


def fingerprint(body: Any) -> str:
    """Return a digest that tells one request from another."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_same(run: Run, asked: str) -> None:
    """Raise a refusal if a run was created for another request under the same key."""
    if run.labels.get(FINGERPRINT) != asked:
        raise another_body()


def another_body() -> Refusal:
    """Return the refusal of a key that was used for another request before."""
    detail = "this key was sent before, with another body: take a new key for a new request"
    blamed = FieldProblem(field=HEADER, place="header", detail=detail)
    return Refusal(422, "keyReused", detail, errors=[blamed])


class InFlight:
    """The keys whose first request this server still works on."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    @contextmanager
    def holding(self, key: str | None) -> Iterator[None]:
        """Hold a key for a block; a second request of the same key meanwhile is refused.

        On another server it goes through: then Prefect gives both the same run.
        """
        if key is None:
            yield
            return
        if key in self._keys:
            detail = "the first request with this key is still in flight: ask again"
            raise Refusal(409, "inFlight", detail, headers={"Retry-After": "1"})
        self._keys.add(key)
        try:
            yield
        finally:
            self._keys.discard(key)
