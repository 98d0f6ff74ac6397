"""Effects of faults on replies: each turns the correct reply into the faulty one.

A fault that strikes before a submit is looked at is handed an empty reply, and what it returns is all that happens.
"""

from collections.abc import Callable
from dataclasses import replace

from adreel.emulator.replies import Delivery, Item, Reply, error, unauthenticated

Effect = Callable[[Reply, str], Reply]

FOREIGN_UUID = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"


def _delivered(delivery: Delivery) -> Effect:
    return lambda reply, _: replace(reply, delivery=delivery)


def _refused(code: str, message: str, *, http: int = 400, **more: object) -> Effect:
    return lambda _, uuid: error(code, message, uuid=uuid, http=http, taskType="videoInference", **more)


def _rewritten(change: Callable[[Item], Item]) -> Effect:
    return lambda reply, _: replace(reply, data=tuple(change(item) for item in reply.data))


def _rate_limited(_: Reply, uuid: str) -> Reply:
    return error("rateLimitExceeded", "Too many requests, slow down.", uuid=uuid, http=429)


def _retry_after(reply: Reply, uuid: str) -> Reply:
    return replace(_rate_limited(reply, uuid), headers={"Retry-After": "1"})


def _anonymous_limit(_: Reply, __: str) -> Reply:
    return error("rateLimitExceeded", "Too many requests, slow down.", http=429)


def _anonymous_error(_: Reply, __: str) -> Reply:
    return error("internalServerError", "Something went wrong, please try again.", http=500)


def _processing(item: Item) -> Item:
    return {"taskType": "videoInference", "taskUUID": item["taskUUID"], "status": "processing", "progress": 0}


def _without_url(item: Item) -> Item:
    return {key: value for key, value in item.items() if key != "videoURL"}


def _with_foreign(reply: Reply, _: str) -> Reply:
    foreign = {"taskType": "videoInference", "taskUUID": FOREIGN_UUID, "status": "success", "videoUUID": FOREIGN_UUID}
    return replace(reply, data=({**foreign, "videoURL": f"http://127.0.0.1:9/{FOREIGN_UUID}.mp4"}, *reply.data))


def _lost_authentication(_: Reply, __: str) -> Reply:
    return unauthenticated()


_conflict = _refused("conflictTaskUUID", "A task with this taskUUID exists already.", parameter="taskUUID")

EFFECTS: dict[str, Effect] = {
    "closeClean": _delivered(Delivery.CLOSED),
    "closeTorn": _delivered(Delivery.TORN),
    "rateLimited": _rate_limited,
    "rateLimitedRetryAfter": _retry_after,
    "rateLimitedAnonymous": _anonymous_limit,
    "serverError": _refused("internalServerError", "Internal server error.", http=500),
    "serviceUnavailable": _refused("serviceUnavailable", "The service is unavailable for now.", http=503),
    "conflictWithoutTask": _conflict,
    "insufficientCredits": _refused("insufficientCredits", "The account has no credits left.", http=402),
    "invalidModel": _refused("invalidModel", "This model does not exist.", parameter="model", type="string"),
    "invalidParameter": _refused(
        "invalidDuration", "Invalid value for 'duration'.", parameter="duration", type="integer", allowedValues=[6]
    ),
    "lostAuthentication": _lost_authentication,
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
    "errorWithoutTaskUUID": _anonymous_error,
    "pollLostAuthentication": _lost_authentication,
    "badGateway": _delivered(Delivery.BAD_GATEWAY),
    "pollHalfReply": _delivered(Delivery.HALF),
    "pollMalformedReply": _delivered(Delivery.MALFORMED),
    "pollCloseClean": _delivered(Delivery.CLOSED),
    "pollCloseTorn": _delivered(Delivery.TORN),
    "pollSilent": _delivered(Delivery.SILENT),
}


def changed(reply: Reply, fault: str | None, uuid: str = "") -> Reply:
    """Return the reply as the fault leaves it; no fault leaves it as it is."""
    return reply if fault is None else EFFECTS[fault](reply, uuid)
