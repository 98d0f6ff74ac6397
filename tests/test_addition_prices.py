"""Prices of voices, music and stills before they are bought: figures by hand, bills and unknown ones."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adreel.models.parts import Addition
from adreel.models.spend import Price
from adreel.models.takes import Attempt, AttemptState, MusicRequest, StillRequest, Take, TaskRequest, VoiceRequest
from adreel.spend.bills import learn_bill
from adreel.spend.prices import price
from adreel.storage import Storage
from tests.factories import NOW


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def voice(text: str = "a" * 40, model: str = "inworld:tts@2") -> VoiceRequest:
    return VoiceRequest(model=model, text=text)


def music(model: str = "runware:ace-step@v1.5-base", duration: float | None = 30) -> MusicRequest:
    return MusicRequest(model=model, prompt="calm piano", duration=duration)


def still(model: str = "google:4@3", **facts: Any) -> StillRequest:
    return StillRequest(model=model, prompt="a lamp", **facts)


@pytest.mark.parametrize(
    ("request_", "micros"),
    [
        (voice(), 1_400),  # 40 characters of 35 micro-dollars
        (voice(model="minimax:speech@2.8"), 4_000),  # the dearer of HD and Turbo
        (voice("Nächte", "fishaudio:s2.1@pro"), 105),  # 7 bytes of 15 micro-dollars
        (voice(model="xai:tts@0"), 600),
        (music(), 4_500),  # 30 s of 150 micro-dollars
        (music(duration=47), 7_050),
        (music("runware:ace-step@v1.5-xl-turbo"), 450),  # half a minute of 900 micro-dollars
        (music("minimax:music@2.6", None), 150_000),
        (still(width=1376, height=768), 68_950),  # 1K
        (still(width=688, height=384), 46_570),  # 0.5K
        (still(width=2752, height=1536), 102_550),  # 2K
        (still(resolution="4K"), 152_950),
        (still(), 152_950),  # the dearest, as the size is not known
        (still(width=1376, height=768, references=["https://a.example/1.png", "https://a.example/2.png"]), 69_510),
        (still("meta:muse@image", width=2048, height=1152), 10_000),
        (still("runware:400@2", width=720, height=1280), 6_914),  # 0.0059 for 768x1024, in proportion
        (still("runware:400@2", width=512, height=512), 5_900),  # never below the known price
    ],
)
def test_a_listed_price_follows_the_rates(storage: Storage, request_: TaskRequest, micros: int) -> None:
    found = price(request_, storage)
    assert (found.amount, found.source) == (micros, "listed")
    assert found.as_of is not None


@pytest.mark.parametrize(
    "request_",
    [
        voice(model="google:gemini@3.1-flash-tts"),
        voice(model="runware:dia2@2b"),
        voice(model="no:such@1"),
        music(duration=None),
        music("klingai:kling-video@3-standard"),
        still("recraft:v4@0", width=1024, height=1024),
        still("klingai:kling-video@3-standard"),
    ],
)
def test_an_unknown_price_stays_unknown(storage: Storage, request_: TaskRequest) -> None:
    assert price(request_, storage) == Price(amount=None, source="unknown")
    assert price(request_, storage, given=700) == Price(amount=700, source="given")


def take_of(request: TaskRequest, cost: float, part: Addition = Addition.VOICE_HOOK) -> Take:
    attempt = Attempt(uuid=uuid4(), state=AttemptState.STORED, created_at=NOW, accepted_at=NOW, cost=cost)
    return Take(
        session_id="ad",
        scenario=part,
        job_id="job-1",
        created_at=NOW,
        updated_at=NOW + timedelta(minutes=1),
        scene=None,
        request=request,
        attempts=[attempt],
    )


def test_a_billed_narration_prices_others_by_their_characters(storage: Storage) -> None:
    learn_bill(storage, take_of(voice("a" * 40), 0.002))
    found = price(voice("a" * 100), storage)
    assert (found.amount, found.source) == (5_000, "billed")


def test_the_dearest_bill_per_character_counts(storage: Storage) -> None:
    learn_bill(storage, take_of(voice("a" * 10), 0.001))
    learn_bill(storage, take_of(voice("a" * 100), 0.002))
    assert price(voice("a" * 100), storage).amount == 10_000
    learn_bill(storage, take_of(voice("a" * 100), 0.02))
    assert price(voice("a" * 7), storage).amount == 1_400


def test_a_billed_price_rounds_up(storage: Storage) -> None:
    learn_bill(storage, take_of(voice("a" * 3), 0.0001))
    assert price(voice("a"), storage).amount == 34


def test_music_and_stills_are_priced_by_bills_of_their_like(storage: Storage) -> None:
    learn_bill(storage, take_of(music(), 0.007, Addition.MUSIC))
    learn_bill(storage, take_of(still(width=1376, height=768), 0.08, Addition.STILL_HOOK))
    assert price(music(), storage).amount == 7_000
    assert price(music(duration=60), storage).source == "listed"
    assert price(still(width=1376, height=768), storage).amount == 80_000
    assert price(still(width=768, height=1376), storage).source == "listed"
