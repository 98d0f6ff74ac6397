"""Prices before the purchase: they are those of the emulator's bill, and bills of own takes come first."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from adreel.catalog import packaged
from adreel.catalog.facts import Duration, VideoModel
from adreel.cli.display import cost_beside_estimate
from adreel.emulator.faults import Faults
from adreel.emulator.handler import RenderSettings, TaskHandler
from adreel.emulator.ledger import Ledger
from adreel.errors import InputError
from adreel.models.spend import Price, to_micros
from adreel.models.takes import ClipRequest, Take
from adreel.purchase.request import clip_request
from adreel.runware.connection import inference
from adreel.settings import Settings
from adreel.spend.bills import bills_path, learn_bill
from adreel.spend.prices import listed_price, of_emulator, price
from adreel.storage import Storage
from tests.factories import make_session, make_take, scene_data

FIRST, LAST = "https://pictures.example/first.png", "https://pictures.example/last.png"
REFERENCES = [f"https://pictures.example/{number}.png" for number in range(7)]
INPUTS: tuple[dict[str, Any], ...] = (
    {},
    {"first_frame": FIRST},
    {"first_frame": FIRST, "last_frame": LAST},
    {"references": REFERENCES[:1]},
    {"references": REFERENCES},
)
HANDLER = TaskHandler(Ledger(), Faults(), RenderSettings(), clock=time.time, clip_url="https://vm.runware.ai/{}".format)
PRICED = {model.air: model for model in packaged().usable() if model.prices}
NO_RATE_FITS = {
    "klingai:kling-video@2.6-standard": "its rate is per second, and the model decides the length",
    "prunaai:p-video@2-pro": "its only rate is for the mode `speed`",
}
"""Models of which no clip has a known price, and why."""
RATES_OF_LENGTHS = {"minimax:4@1", "vidu:3@1", "vidu:3@2", "xai:grok-imagine@video"}
"""Models whose rates are for some lengths, or some lengths at some sizes, only."""


def durations(model: VideoModel) -> set[float]:
    offered = model.duration
    known = (
        [*(offered.values or ())[:: len(offered.values or ()) - 1 or 1], offered.min, offered.max]
        if isinstance(offered, Duration)
        else []
    )
    return {seconds for seconds in known if seconds} | {5, 8}


def requests(model: VideoModel) -> Iterator[ClipRequest]:
    """Yield a request for each length, size, sound and kind of input that the model takes."""
    sizes: list[dict[str, Any]] = [{}, *({"size": size} for size in (model.sizes or ())[:3])]
    sizes += [{"resolution": name, "aspect": "9:16"} for name in ("480p", "1080p", "4k")]
    for seconds, size, sound, given in product(durations(model), sizes, (None, True, False), INPUTS):
        sounds = {} if sound is None else {"sound": sound}
        session = make_session(
            model=model.air, scene_descriptions=[scene_data(duration=seconds, **size, **sounds, **given)]
        )
        try:
            yield clip_request(session, session.scene_descriptions[0], Settings(), packaged())
        except InputError:
            continue


def emulator_bill(request: ClipRequest) -> float:
    """Return what the emulator bills for a request."""
    task = inference(uuid4(), request, {image: image for _, image in request.named_images()})
    reply = HANDLER.answer([task], dry_run=True)
    assert not reply.errors, task
    return float(reply.data[0]["cost"])


@pytest.mark.parametrize(
    "air", [pytest.param(air, marks=[pytest.mark.slow] if index % 3 else []) for index, air in enumerate(PRICED)]
)
def test_price_is_the_bill_to_the_cent(air: str) -> None:
    known = unknown = 0
    for request in requests(PRICED[air]):
        amount = listed_price(request, PRICED[air])
        if amount is None:
            unknown += 1
            continue
        known += 1
        assert amount == to_micros(emulator_bill(request)), request
    assert bool(known) is (air not in NO_RATE_FITS)
    assert not unknown or air in NO_RATE_FITS or air in RATES_OF_LENGTHS


@pytest.fixture
def storage() -> Storage:
    return Storage(f"memory://prices-{uuid4()}")


def billed_take(cost: float | None, storage: Storage, **changes: Any) -> Take:
    """Return a stored take that was planned with the price of its day, and billed."""
    take = make_take(cost=cost)
    take.request = take.request.model_copy(update=changes)
    take.price = price(take.request, storage)
    learn_bill(storage, take)
    return take


def test_listed_price_names_its_source_and_day(storage: Storage) -> None:
    request = make_take().request
    assert price(request, storage) == Price(amount=31450, source="listed", as_of=PRICED[request.model].priced_on)


def test_price_without_a_rate_is_unknown_or_given(storage: Storage) -> None:
    request = make_take().request.model_copy(update={"model": "nobody:none@1"})
    assert price(request, storage) == Price(amount=None, source="unknown")
    assert price(request, storage, given=500_000) == Price(amount=500_000, source="given")


def test_highest_bill_of_such_clips_comes_before_the_list(storage: Storage) -> None:
    for cost in (0.02, 0.05, 0.04):
        take = billed_take(cost, storage)
    today = datetime.now(UTC).date()
    assert price(take.request, storage, given=1) == Price(amount=50_000, source="billed", as_of=today)
    others = {"duration": 6}, {"sound": True}, {"width": 128}, {"parameters": {"fps": 12}}, {"references": ("a",)}
    for other in others:
        assert price(take.request.model_copy(update=other), storage).source == "listed", other


def test_price_that_was_given_is_learned_even_if_it_was_right(storage: Storage) -> None:
    take = make_take(cost=0.5)
    take.request = take.request.model_copy(update={"model": "nobody:none@1"})
    take.price = price(take.request, storage, given=500_000)
    learn_bill(storage, take)
    assert price(take.request, storage).source == "billed"


def test_bill_as_expected_writes_nothing(storage: Storage) -> None:
    for cost in (0.03145, None):
        take = billed_take(cost, storage)
        assert not storage.exists(bills_path(take.request.model))


def test_bill_of_the_emulator_is_no_price(storage: Storage) -> None:
    take = make_take()
    take.price = of_emulator(price(take.request, storage))
    learn_bill(storage, take)
    assert take.price.amount == 31450
    assert price(take.request, storage).source == "listed"


def test_unreadable_bills_count_as_none_and_are_written_anew(storage: Storage) -> None:
    path = bills_path("bytedance:2@2")
    storage.write(path, b"{")
    take = make_take()
    assert price(take.request, storage).source == "listed"
    learn_bill(storage, take)
    assert price(take.request, storage).amount == 110_000


@pytest.mark.parametrize(
    ("cost", "estimate", "text"),
    [
        (0.42, 0.42, "$0.42"),
        (0.63, 0.42, "$0.63 (expected $0.42)"),
        (0.0315, 0.0314, "$0.0315 (expected $0.0314)"),
        (0.42, None, "$0.42"),
        (None, 0.42, "at least $0.21"),
    ],
)
def test_a_bill_is_shown_beside_an_estimate_that_differs(cost: float | None, estimate: float | None, text: str) -> None:
    assert cost_beside_estimate(cost, estimate, cost or 0.2199) == text
