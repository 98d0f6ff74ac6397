"""Replies of the local Runware: task objects in `data` and `errors`, and their transport.

A reply is built up task by task and joined into the one that a message gets. Faults change it on the way
(`effects`), and each transport then delivers it in its own way: whole, or as badly as `delivery` says.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

Item = dict[str, Any]

DOCUMENTATION = "https://runware.ai/docs/en/video-inference/api-reference"


class Delivery(IntEnum):
    """How a reply reaches the client, from the mildest to the worst."""

    WHOLE = 0
    MALFORMED = 1
    BAD_GATEWAY = 2
    HALF = 3
    CLOSED = 4
    TORN = 5
    SILENT = 6


@dataclass(frozen=True)
class Reply:
    """The answer to one message, or to one task of it."""

    data: tuple[Item, ...] = ()
    errors: tuple[Item, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    logged_out: bool = False

    @property
    def http_status(self) -> int:
        """Tell the REST status: what came along in `data` makes the reply a good one."""
        return 200 if self.data else self.status

    def text(self) -> str:
        """Write the reply as JSON; `data` is left out only beside errors."""
        body: dict[str, Any] = {}
        if self.data or not self.errors:
            body["data"] = self.data
        if self.errors:
            body["errors"] = self.errors
        return json.dumps(body)


def join(replies: Iterable[Reply]) -> Reply:
    """Join the answers to a message's tasks; the worst status and delivery count for all."""
    joined = Reply()
    for reply in replies:
        joined = Reply(
            data=joined.data + reply.data,
            errors=joined.errors + reply.errors,
            status=max(joined.status, reply.status),
            headers={**joined.headers, **reply.headers},
            delivery=max(joined.delivery, reply.delivery),
            logged_out=joined.logged_out or reply.logged_out,
        )
    return joined


def error(code: str, message: str, *, uuid: str | None = None, http: int = 400, **more: Any) -> Reply:
    """Answer with one error, and REST with an HTTP status; without a UUID it belongs to no task."""
    item: Item = {"code": code, "message": message, **more}
    if uuid is not None:
        item["taskUUID"] = uuid
    return Reply(errors=(item,), status=http)


def unauthenticated() -> Reply:
    """Answer a client that has not authenticated, or no longer is."""
    reply = error("unauthorized", "Authenticate before sending tasks.", http=401, taskType="authentication")
    return replace(reply, logged_out=True)


def invalid_key(*, missing: bool) -> Reply:
    """Answer a key that opens nothing."""
    code, what = ("missingApiKey", "No API key given.") if missing else ("invalidApiKey", "Invalid API key provided.")
    message = f"{what} Keys are made at https://my.runware.ai/signup"
    return error(code, message, http=401, parameter="apiKey", type="string", taskType="authentication")
