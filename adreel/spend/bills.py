"""Bills of own takes: the highest cost of each kind of clip, in one small record per model.

They are derived from the takes and can be deleted at any time.
"""

import json
import logging
import re
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from adreel.errors import AdreelError
from adreel.models.spend import to_micros
from adreel.models.takes import ClipRequest, Take
from adreel.storage import Storage
from adreel.storage.backend import RECORD_BYTES

log = logging.getLogger("adreel.spend")

FRESH_SECONDS = 30.0
"""How long a process uses what it has read."""
MAX_BILLS = 500
"""Maximum kinds of clips of a model. The oldest are dropped."""


class Bill(BaseModel, extra="allow", frozen=True):
    """The highest cost of clips with the same properties."""

    clip: dict[str, Any] = Field(description="What the price depends on")
    amount: int = Field(ge=0, description="Micro-dollars")
    billed_on: date


class Bills(BaseModel, extra="allow"):
    """The bills of a model."""

    schema_version: int = 1
    model: str
    bills: list[Bill] = Field(default_factory=list)

    def find(self, request: ClipRequest) -> Bill | None:
        """Return the bill of such a clip."""
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


def learn_bill(storage: Storage, take: Take) -> None:
    """Keep the bill of the current attempt if it differs from the take's estimate; the highest one counts.

    Bills of the emulator are not kept. A failure is logged, because the take's record has the bill too.
    """
    attempt, request, estimate = take.attempts[-1], take.request, take.price
    if attempt.cost is None or (estimate and estimate.source == "emulator"):
        return
    amount = to_micros(attempt.cost)
    if estimate and estimate.source == "billed" and amount <= (estimate.amount or 0):
        return
    # A price that a person has given is not known next time, even if it was right.
    if estimate and estimate.source == "listed" and amount == estimate.amount:
        return
    bill = Bill(clip=_priced_by(request), amount=amount, billed_on=datetime.now(UTC).date())
    path, kept = bills_path(request.model), Bills(model=request.model)

    def add(content: bytes | None) -> bytes | None:
        nonlocal kept
        kept = _parse(content, request.model) if content else Bills(model=request.model)
        earlier = kept.find(request)
        if earlier and earlier.amount >= amount:
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


def _priced_by(request: ClipRequest) -> dict[str, Any]:
    """Return the properties of a request that its price can depend on."""
    return {
        "duration": request.duration,
        "width": request.width,
        "height": request.height,
        "resolution": request.resolution,
        "sound": request.sound,
        "frames": bool(request.first_frame) + bool(request.last_frame),
        "references": len(request.references or ()),
        "parameters": request.parameters,
    }
