"""Bills of own takes: the highest cost of each kind of clip, voice, music and still, in one small record per model.

A narration is priced by its characters: the dearest bill per character counts, in proportion. The records are derived
from the takes and can be deleted at any time.
"""

import json
import logging
import math
import re
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from adreel.errors import AdreelError
from adreel.models.spend import to_micros
from adreel.models.takes import MusicRequest, StillRequest, Take, TaskRequest, VoiceRequest
from adreel.storage import Storage
from adreel.storage.backend import RECORD_BYTES

log = logging.getLogger("adreel.spend")

FRESH_SECONDS = 30.0
"""How long a process uses what it has read."""
MAX_BILLS = 500
"""Maximum kinds of clips of a model. The oldest are dropped."""


class Bill(BaseModel, extra="allow", frozen=True):
    """The highest cost of clips with the same properties, or of narrations in proportion to their characters."""

    clip: dict[str, Any] = Field(description="What the price depends on")
    amount: int = Field(ge=0, description="Micro-dollars")
    characters: int | None = Field(None, gt=0, description="Those of the narration that was billed")
    billed_on: date

    def amount_for(self, request: TaskRequest) -> int:
        """Return what it says of a request's price, in micro-dollars: for a narration in proportion."""
        if self.characters is None or not isinstance(request, VoiceRequest):
            return self.amount
        return math.ceil(self.amount * len(request.text) / self.characters)


class Bills(BaseModel, extra="allow"):
    """The bills of a model."""

    schema_version: int = 1
    model: str
    bills: list[Bill] = Field(default_factory=list)

    def find(self, request: TaskRequest) -> Bill | None:
        """Return the bill of such a clip, voice, music or still."""
        clip = _priced_by(request)
        return next((bill for bill in self.bills if bill.clip == clip), None)


@dataclass
class _Read:
    bills: Bills
    at: float


_read: dict[tuple[str, str], _Read] = {}
"""By the identity of a storage and a path."""


def load_bills(storage: Storage, model: str) -> Bills:
    """Return the bills of a model, read at most every FRESH_SECONDS. Unreadable ones count as none."""
    path = bills_path(model)
    place = storage.identity, path
    known = _read.get(place)
    if known is None or time.monotonic() - known.at > FRESH_SECONDS:
        try:
            bills = _parse(storage.read(path, RECORD_BYTES), model)
        except FileNotFoundError:
            bills = Bills(model=model)
        known = _read[place] = _Read(bills, time.monotonic())
    return known.bills


def is_news(take: Take) -> bool:
    """Whether the bill of the current attempt is real, and differs from the take's estimate."""
    cost, estimate = take.attempts[-1].cost, take.price
    if cost is None or (estimate and estimate.source == "emulator"):
        return False
    amount = to_micros(cost)
    if estimate and estimate.source == "billed" and amount <= (estimate.amount or 0):
        return False
    # A price that a person has given is not known next time, even if it was right.
    return not (estimate and estimate.source == "listed" and amount == estimate.amount)


def learn_bill(storage: Storage, take: Take) -> None:
    """Keep the bill of the current attempt if it is news; the highest one counts.

    A failure is logged, because the take's record has the bill too.
    """
    cost, request = take.attempts[-1].cost, take.request
    if cost is None or not is_news(take):
        return
    amount = to_micros(cost)
    bill = Bill(
        clip=_priced_by(request),
        amount=amount,
        characters=len(request.text) if isinstance(request, VoiceRequest) else None,
        billed_on=datetime.now(UTC).date(),
    )
    path, kept = bills_path(request.model), Bills(model=request.model)

    def add(content: bytes | None) -> bytes | None:
        nonlocal kept
        kept = _parse(content, request.model) if content else Bills(model=request.model)
        earlier = kept.find(request)
        if earlier and earlier.amount_for(request) >= amount:
            return None
        others = [each for each in kept.bills if each != earlier]
        kept = kept.model_copy(update={"bills": [*others, bill][-MAX_BILLS:]})
        return kept.model_dump_json(indent=1).encode()

    try:
        storage.update(path, add)
    except AdreelError as error:
        log.warning("the bill of take %s is not used for prices: %s", take.short_id, error)
        return
    _read[storage.identity, path] = _Read(kept, time.monotonic())


def bills_path(model: str) -> str:
    """Return the path of the bills of a model."""
    return f"prices/{re.sub(r'[^A-Za-z0-9.-]', '_', model)[:100]}.json"


def _parse(content: bytes, model: str) -> Bills:
    try:
        found = Bills.model_validate(json.loads(content))
    except (ValueError, ValidationError):
        log.warning("the bills of %s are unreadable, and are written anew", model)
        return Bills(model=model)
    # Two odd names can share a path.
    return found if found.model == model else Bills(model=model)


def _priced_by(request: TaskRequest) -> dict[str, Any]:
    """Return the properties of a request that its price can depend on. Those of a clip have no kind."""
    if isinstance(request, VoiceRequest):
        return {"kind": request.kind, "parameters": request.parameters}
    if isinstance(request, MusicRequest):
        return {"kind": request.kind, "duration": request.duration, "parameters": request.parameters}
    kind = {"kind": request.kind} if isinstance(request, StillRequest) else {}
    return kind | {
        "duration": request.duration,
        "width": request.width,
        "height": request.height,
        "resolution": request.resolution,
        "sound": request.sound,
        "frames": bool(request.first_frame) + bool(request.last_frame),
        "references": len(request.references or ()),
        "parameters": request.parameters,
    }
