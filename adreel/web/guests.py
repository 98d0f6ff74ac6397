"""Guests: people who come by the link of a share, without a key.

The link is the whole proof, so wrong ones are limited like wrong keys. Each share has a rate of its own.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from adreel.models.shares import Right, Share
from adreel.models.takes import utc_now
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.sharing import SHARE_PATH, find_share, share_id_of
from adreel.web.dependencies import ServiceDep
from adreel.web.keys import Caller
from adreel.web.middleware.auth import SAFE_METHODS
from adreel.web.middleware.limits import RateLimiter
from adreel.web.problems import HTTPProblem
from adreel.web.wrong_keys import WrongKeyLimiter, client_address

READS_PER_MINUTE = 1200
WRITES_PER_MINUTE = 30
ENDED = {"expired": "has expired", "revoked": "was withdrawn"}


@dataclass(frozen=True)
class Guest:
    """A guest with the token of an open share."""

    share: Share
    token: str

    @property
    def path(self) -> str:
        """Path of the guest's page."""
        return f"{SHARE_PATH}{self.token}"

    def may(self, right: Right) -> bool:
        """Whether the share has a right."""
        return right in self.share.rights

    def check(self, right: Right) -> None:
        """Raise HTTPProblem without a right."""
        if not self.may(right):
            raise HTTPProblem(403, "right", f"this link has no right to {right}: ask its sender for one that has")


class GuestLimits:
    """The rates of each share, on this server."""

    def __init__(self) -> None:
        self._reads, self._writes = RateLimiter(READS_PER_MINUTE), RateLimiter(WRITES_PER_MINUTE)

    def check(self, share: Share, method: str) -> None:
        """Count a request; HTTPProblem if there are too many."""
        limiter = self._reads if method in SAFE_METHODS else self._writes
        if seconds := limiter.wait(f"{share.session_id}.{share.share_id}"):
            headers = {"Retry-After": str(max(1, round(seconds)))}
            raise HTTPProblem(429, "tooMany", "too many requests with this link: wait a moment", headers=headers)


async def get_guest(
    request: Request, service: ServiceDep, token: Annotated[str, Path(max_length=200, examples=["abc-123.3f9a"])]
) -> Guest:
    """Return the guest of a link; HTTPProblem 404 if it never was one, 410 if it has ended."""
    wrong_keys: WrongKeyLimiter = request.app.state.wrong_keys
    limits: GuestLimits = request.app.state.guest_limits
    address, caller = client_address(request.scope), Caller(f"share-{share_id_of(token)}")
    wrong_keys.check_before_lookup(address, caller)
    share = await run_in_threadpool(find_share, service.records, token)
    wrong_keys.check(address, caller if share else None)
    if share is None:
        detail = "this link is not valid: check that it was copied completely, or ask its sender for a new one"
        raise HTTPProblem(404, "noShare", detail)
    # For the access log, which does not have the token.
    request.state.caller = caller
    limits.check(share, request.method)
    if ended := ENDED.get(share.state(utc_now())):
        raise HTTPProblem(410, "shareEnded", f"this link {ended}: ask its sender for a new one")
    return Guest(share, token)


GuestDep = Annotated[Guest, Depends(get_guest)]
