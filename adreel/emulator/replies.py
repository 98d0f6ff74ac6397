"""Replies: task objects in `data` and `errors`, and the faults that change them.

Each task gets a reply. The replies to the tasks of a message are joined. Faults change a reply on its way. Each
transport then delivers it, whole or broken, as `delivery` says.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

Item = dict[str, Any]

DOCUMENTATION = "https://runware.ai/docs/en/video-inference/api-reference"


class Delivery(IntEnum):
    """How a reply reaches the client, from the mildest to the most severe."""

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
        """Return the REST status: 200 as soon as `data` has an item."""
        return 200 if self.data else self.status

    def text(self) -> str:
        """Return the reply as JSON. `data` is omitted only beside errors."""
        body: dict[str, Any] = {}
        if self.data or not self.errors:
            body["data"] = self.data
        if self.errors:
            body["errors"] = self.errors
        return json.dumps(body)


def join(replies: Iterable[Reply]) -> Reply:
    """Join the replies to a message's tasks. The most severe status and delivery apply to all."""
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
    """Return a reply with one error. `http` is its status on REST. Without a UUID it names no task."""
    item: Item = {"code": code, "message": message, **more}
    if uuid is not None:
        item["taskUUID"] = uuid
    return Reply(errors=(item,), status=http)


def unauthenticated() -> Reply:
    """Return the reply to a client that is not authenticated."""
    reply = error("unauthorized", "Authenticate before sending tasks.", http=401, taskType="authentication")
    return replace(reply, logged_out=True)


@dataclass(frozen=True)
class Failure:
    """A failed render, in the provider's code and words. `in_data` reports it in `data[]`, not in `errors[]`."""

    code: str
    message: str
    in_data: bool = False
    http: int = 200

    def reply(self, task: Item) -> Reply:
        """Return the reply to a poll for the failed task."""
        uuid, kind = task["taskUUID"], task["taskType"]
        if not self.in_data:
            return error(self.code, self.message, uuid=uuid, http=self.http, taskType=kind, status="error")
        inner = {"code": self.code, "message": self.message}
        return Reply(data=({"taskType": kind, "taskUUID": uuid, "status": "error", "error": inner},))


FAILURES: dict[str, Failure] = {
    "failedTopLevel": Failure("inferenceError", "The provider could not render this task."),
    "failedInData": Failure("processingFailed", "The provider stopped while processing.", in_data=True),
    "failedHttp400": Failure("taskFailed", "The task failed at the provider.", http=400),
    "providerTimeout": Failure("providerTimeout", "The provider did not finish in time."),
    "contentPolicy": Failure("invalidProviderContent", "The provider's safety system refused this prompt."),
}

ReplyFault = Callable[[Reply, Item], Reply]
"""Takes the correct reply and the task. A fault at Point.SUBMIT takes an empty reply: no task is created."""

FOREIGN_UUID = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"


def _delivered(delivery: Delivery) -> ReplyFault:
    return lambda reply, _: replace(reply, delivery=delivery)


def _refused(code: str, message: str, *, http: int = 400, **more: object) -> ReplyFault:
    return lambda _, task: error(
        code, message, uuid=str(task.get("taskUUID", "")), http=http, taskType=task["taskType"], **more
    )


def _rewritten(change: Callable[[Item], Item]) -> ReplyFault:
    return lambda reply, _: replace(reply, data=tuple(change(item) for item in reply.data))


def _rate_limited(task: Item | None = None) -> Reply:
    uuid = None if task is None else str(task.get("taskUUID", ""))
    return error("rateLimitExceeded", "Too many requests, slow down.", uuid=uuid, http=429)


def _processing(item: Item) -> Item:
    return {"taskType": item["taskType"], "taskUUID": item["taskUUID"], "status": "processing", "progress": 0}


def _without_url(item: Item) -> Item:
    return {name: value for name, value in item.items() if not name.endswith("URL")}


def _with_foreign(reply: Reply, _: Item) -> Reply:
    foreign = {"taskType": "videoInference", "taskUUID": FOREIGN_UUID, "status": "success", "videoUUID": FOREIGN_UUID}
    return replace(reply, data=({**foreign, "videoURL": f"http://127.0.0.1:9/{FOREIGN_UUID}.mp4"}, *reply.data))


_conflict = _refused("conflictTaskUUID", "A task with this taskUUID exists already.", parameter="taskUUID")

REPLY_FAULTS: dict[str, ReplyFault] = {
    "closeClean": _delivered(Delivery.CLOSED),
    "closeTorn": _delivered(Delivery.TORN),
    "rateLimited": lambda _, task: _rate_limited(task),
    "rateLimitedRetryAfter": lambda _, task: replace(_rate_limited(task), headers={"Retry-After": "1"}),
    "rateLimitedAnonymous": lambda _, __: _rate_limited(),
    "serverError": _refused("internalServerError", "Internal server error.", http=500),
    "serviceUnavailable": _refused("serviceUnavailable", "The service is unavailable for now.", http=503),
    "conflictWithoutTask": _conflict,
    "insufficientCredits": _refused("insufficientCredits", "The account has no credits left.", http=402),
    "invalidModel": _refused("invalidModel", "This model does not exist.", parameter="model", type="string"),
    "invalidParameter": _refused(
        "invalidDuration", "Invalid value for 'duration'.", parameter="duration", type="integer", allowedValues=[6]
    ),
    "lostAuthentication": lambda _, __: unauthenticated(),
    "dropReplyReset": _delivered(Delivery.TORN),
    "dropReplyClean": _delivered(Delivery.CLOSED),
    "dropReplySilent": _delivered(Delivery.SILENT),
    "halfReply": _delivered(Delivery.HALF),
    "malformedReply": _delivered(Delivery.MALFORMED),
    "emptyAcceptance": lambda reply, _: replace(reply, data=()),
    "conflict": _conflict,
    "unknownTask": lambda reply, _: replace(reply, data=(), errors=(), status=200),
    "statusBack": _rewritten(_processing),
    "unknownStatus": _rewritten(lambda item: {**_processing(item), "status": "enchanted"}),
    "progressOutOfRange": _rewritten(lambda item: {**item, "progress": 250}),
    "resultsDoubled": lambda reply, _: replace(reply, data=reply.data * 2, errors=reply.errors * 2),
    "foreignResults": _with_foreign,
    "extraFields": _rewritten(lambda item: {**item, "mood": "splendid", "extra": {"nested": [1, None]}}),
    "successWithoutUrl": _rewritten(_without_url),
    "resultsShuffled": lambda reply, _: replace(reply, data=reply.data[::-1], errors=reply.errors[::-1]),
    "errorWithoutTaskUUID": lambda _, __: error(
        "internalServerError", "Something went wrong, please try again.", http=500
    ),
    "pollLostAuthentication": lambda _, __: unauthenticated(),
    "badGateway": _delivered(Delivery.BAD_GATEWAY),
    "pollHalfReply": _delivered(Delivery.HALF),
    "pollMalformedReply": _delivered(Delivery.MALFORMED),
    "pollCloseClean": _delivered(Delivery.CLOSED),
    "pollCloseTorn": _delivered(Delivery.TORN),
    "pollSilent": _delivered(Delivery.SILENT),
}


def apply_fault(reply: Reply, fault: str | None, task: Item) -> Reply:
    """Return the reply about a task as the fault changes it, or as it is without one."""
    return reply if fault is None else REPLY_FAULTS[fault](reply, task)
