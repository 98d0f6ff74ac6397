"""Parsing of Runware's replies: any JSON becomes the values below, with clean texts of bounded length.

Acknowledgements, "processing" items and undocumented statuses all mean that the task is in progress. Only a URL makes
a clip, only an error makes a failure.
"""

import math
from dataclasses import dataclass
from itertools import islice
from reprlib import Repr
from typing import Any
from uuid import UUID

from adreel.text import MESSAGE_LENGTH, clean_line, clean_text

LONGEST_CODE = 100
LONGEST_PARAMETER = 300
LONGEST_URL = 8000
MOST_ALLOWED_VALUES = 50
HIGHEST_COST = 100_000.0
"""Largest plausible cost of a clip in USD; a larger one counts as unknown."""
RESULT_URLS = ("videoURL", "audioURL", "imageURL")
SEEDS = range(-(2**63), 2**63)

_structures = Repr()
_structures.maxlevel, _structures.maxdict, _structures.maxlist = 3, 10, 10
_structures.maxstring = _structures.maxother = 300


@dataclass(frozen=True)
class InProgress:
    """A task that Runware knows and has not finished; `progress` is 0 to 100, or None."""

    uuid: UUID
    progress: int | None = None


@dataclass(frozen=True)
class Rendered:
    """A finished clip, sound or image; `cost` in USD and None if it was not reported."""

    uuid: UUID
    url: str
    cost: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Uploaded:
    """An uploaded image; `media` is the UUID under which requests name it."""

    uuid: UUID
    media: str


@dataclass(frozen=True)
class Balance:
    """The credits of the account in USD."""

    uuid: UUID
    amount: float


@dataclass(frozen=True)
class Failure:
    """An error of a task, or of the connection if it has no UUID."""

    uuid: UUID | None
    code: str
    message: str
    parameter: str = ""
    allowed: str = ""
    authenticating: bool = False


Reply = InProgress | Rendered | Uploaded | Balance | Failure


def parse_replies(message: object) -> list[Reply]:
    """Return the replies about tasks in a message, in their order."""
    replies: list[Reply | None] = []
    for item in _items(message, "data"):
        if item.get("taskType") == "getTaskDetails":
            replies.append(_archived(item))
        elif item.get("error") or item.get("status") == "error":
            replies.append(parse_failure(item))
        elif item.get("taskType") == "mediaStorage" and (uploaded := _uploaded(item)):
            replies.append(uploaded)
        elif item.get("taskType") == "accountManagement" and (balance := _balance(item)):
            replies.append(balance)
        else:
            replies.append(_progress(item))
    replies += map(parse_failure, _items(message, "errors"))
    return [reply for reply in replies if reply is not None]


def has_pong(message: object) -> bool:
    """Whether a message answers a ping."""
    return any(item.get("taskType") == "ping" for item in _items(message, "data"))


def parse_failure(item: dict[str, Any]) -> Failure:
    """Parse an error item; missing fields become empty."""
    nested = item.get("error")
    details = nested if isinstance(nested, dict) else item
    message = details.get("message") or item.get("message") or nested
    return Failure(
        uuid=_uuid(item.get("taskUUID")) or _uuid(details.get("taskUUID")),
        code=_text(details.get("code") or item.get("code"), LONGEST_CODE) or "unknown",
        message=_text(message) or "no message",
        parameter=_joined(details.get("parameter")),
        allowed=_joined(details.get("allowedValues")),
        authenticating=item.get("taskType") == "authentication",
    )


def _items(message: object, name: str) -> list[dict[str, Any]]:
    items = message.get(name) if isinstance(message, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _progress(item: dict[str, Any]) -> InProgress | Rendered | None:
    uuid = _uuid(item.get("taskUUID"))
    if uuid is None or item.get("taskType") in ("authentication", "ping"):
        return None
    url = next(filter(None, map(item.get, RESULT_URLS)), None)
    url = clean_text("".join(url[:LONGEST_URL].split()), LONGEST_URL) if isinstance(url, str) else ""
    if url and item.get("status", "success") == "success":
        return Rendered(uuid, url, _cost(item.get("cost")), _whole(item.get("seed")))
    progress = _whole(item.get("progress"))
    return InProgress(uuid, progress if progress is not None and 0 <= progress <= 100 else None)


def _uploaded(item: dict[str, Any]) -> Uploaded | None:
    uuid, media = _uuid(item.get("taskUUID")), item.get("mediaUUID")
    return Uploaded(uuid, _text(media, LONGEST_CODE)) if uuid and media and isinstance(media, str) else None


def _balance(item: dict[str, Any]) -> Balance | None:
    """Parse the account's details: only the balance is read, because the reply holds names, addresses and keys."""
    uuid, balance = _uuid(item.get("taskUUID")), item.get("balance")
    # One SDK types it as an object. Its currency or its account is no number.
    values = list(balance.values()) if isinstance(balance, dict) else [balance]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    try:
        amount = float(numbers[0]) if len(numbers) == 1 else math.nan
    except OverflowError:
        return None
    return Balance(uuid, amount) if uuid and math.isfinite(amount) else None


def _archived(item: dict[str, Any]) -> InProgress | Rendered | None:
    """Parse an archive entry; failures are ignored, because the polls report them."""
    response = item.get("response")
    answer = response.get("data", response) if isinstance(response, dict) else response
    for result in answer if isinstance(answer, list) else [answer]:
        if isinstance(result, dict) and not (result.get("error") or result.get("status") == "error"):
            reply = _progress(result)
            if reply and reply.uuid == _uuid(item.get("taskUUID")):
                return reply
    return None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _cost(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        cost = float(value)
    except OverflowError:
        return None
    return cost if math.isfinite(cost) and 0 <= cost <= HIGHEST_COST else None


def _whole(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value in SEEDS else None


def _joined(value: object) -> str:
    if isinstance(value, list):
        parts = [_text(part, LONGEST_PARAMETER) for part in islice(value, MOST_ALLOWED_VALUES)]
        return clean_line(", ".join([*parts, "..."] if len(value) > len(parts) else parts))
    return "" if value is None else _text(value, LONGEST_PARAMETER)


def _text(value: object, most: int = MESSAGE_LENGTH) -> str:
    """Return a value as one clean line; empty for None."""
    if value is None or isinstance(value, str):
        return clean_line(value or "", most)
    try:
        return clean_line(_structures.repr(value), most)
    except ValueError:
        return "a number of thousands of digits"
