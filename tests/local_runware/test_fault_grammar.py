"""The text form of faults, and when and how often a fault strikes."""

import math
from collections.abc import Iterable

import pytest

from adreel.emulator import KINDS, Fault, Point, parse_faults
from adreel.emulator.clip_faults import CLIP_FAULTS
from adreel.emulator.downloads import DOWNLOAD_FAULTS
from adreel.emulator.faults import Faults
from adreel.emulator.handler import NEVER_ENDS
from adreel.emulator.replies import FAILURES, REPLY_FAULTS


def strikes(fault: str, events: Iterable[str | None], point: Point = Point.SUBMIT) -> list[bool]:
    faults = Faults([fault])
    return [faults.strike(point, (scenario,)) is not None for scenario in events]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rateLimited", Fault("rateLimited")),
        ("providerTimeout:solution", Fault("providerTimeout", "solution")),
        ("dropReplyReset@2", Fault("dropReplyReset", first=2)),
        ("failedInData:ctax*", Fault("failedInData", "cta", times=math.inf)),
        ("gone404x3", Fault("gone404", times=3)),
        ("rateLimited%0.1", Fault("rateLimited", rate=0.1)),
        ("badGateway:hook@4x20%.5", Fault("badGateway", "hook", 4, 20, 0.5)),
        ("failedInData:voicex1", Fault("failedInData", "voice", times=1)),
        ("providerTimeout:still-hook@2", Fault("providerTimeout", "still-hook", first=2)),
        ("contentPolicy:stillx*", Fault("contentPolicy", "still", times=math.inf)),
        ("shorterSound:music", Fault("shorterSound", "music")),
    ],
)
def test_text_form_is_read(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    "text", ["", "tea", "gone404:dog", "gone404:voice-hook", "gone404@0", "gone404x", "gone404%2", "gone404 x2"]
)
def test_bad_text_is_told_the_allowed_names(text: str) -> None:
    with pytest.raises(ValueError, match="dropReplyReset"):
        Fault.parse(text)


def test_several_faults_are_read_from_one_text() -> None:
    assert parse_faults(" gone404, rateLimitedx2 halfReply ") == (
        Fault("gone404"),
        Fault("rateLimited", times=2),
        Fault("halfReply"),
    )


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("rateLimited", [1, 0, 0, 0]),
        ("rateLimited@2", [0, 1, 0, 0]),
        ("rateLimited@2x2", [0, 1, 1, 0]),
        ("rateLimitedx*", [1, 1, 1, 1]),
        ("insufficientCredits", [1, 1, 1, 1]),
        ("rateLimited:cta", [0, 0, 1, 0]),
        ("rateLimited:cta@2", [0, 0, 0, 1]),
        ("rateLimited%0", [0, 0, 0, 0]),
        ("rateLimited%1", [1, 1, 1, 1]),
    ],
)
def test_fault_strikes_when_and_as_often_as_told(fault: str, expected: list[int]) -> None:
    assert strikes(fault, ["hook", "hook", "cta", "cta"]) == [bool(one) for one in expected]


def test_rate_is_seeded() -> None:
    events = ["hook"] * 200
    assert strikes("rateLimited%0.3", events) == strikes("rateLimited%0.3", events)
    assert 30 < sum(strikes("rateLimited%0.3", events)) < 90


def test_seed_strikes_as_in_earlier_versions() -> None:
    faults = Faults(["rateLimited:hook%0.5"], seed=7)
    struck = ["x" if faults.strike(Point.SUBMIT, ("hook", "clip")) else "." for _ in range(24)]
    assert "".join(struck) == ".xx..x..x.xx.xxx.xxx..x."


def test_every_kind_has_its_effect() -> None:
    known = {*REPLY_FAULTS, *FAILURES, NEVER_ENDS, *DOWNLOAD_FAULTS, *CLIP_FAULTS}
    assert known | {"refuseConnection"} == set(KINDS)
