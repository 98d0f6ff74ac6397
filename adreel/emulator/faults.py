"""Faults: what goes wrong at the local Runware, where, how often, and how to write that down.

One table (`KINDS`) says at which point each fault strikes. Whoever reaches a point asks `Faults.strike` and gets
the name of the fault that strikes there, if any; the effects are looked up by that name (`effects` for replies,
`outcomes` for a render's end, `oddities` for clips, `downloads` for their transfer). The text form, for a command line
or an environment variable:

    NAME[:SCENARIO][@FIRST][xTIMES][%RATE]        several are separated by commas or spaces

    providerTimeout:solution      every solution scene's render ends in a provider's timeout
    dropReplyReset@2              the second accepted submit's reply is lost with the connection
    rateLimitedx3                 the first three submits are refused
    failedInData:ctax1            the first cta scene fails, the next attempt is well
    badGateway@5x*                from the fifth poll message on, for ever
    rateLimited%0.1               each submit with a probability of a tenth, seeded

FIRST counts the events that the fault could strike at (of its point and scenario), from 1. TIMES is a number or `*`
for ever. Without it: for ever with a RATE and for kinds marked as lasting, else once.
"""

import math
import random
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

SCENARIOS = ("hook", "problem", "solution", "cta")


class Point(StrEnum):
    """Where a fault can strike; each point is one kind of event, counted by itself."""

    CONNECT = "connect"  # a WebSocket handshake, or a REST request
    SUBMIT = "submit"  # a submitted task, before it is looked at: no task is made
    ACCEPTANCE = "acceptance"  # the reply to a submit that has made a task
    OUTCOME = "outcome"  # the end of a render
    POLL = "poll"  # the answer about one polled task
    RESULT = "result"  # such an answer that says success
    MESSAGE = "message"  # the whole reply to a poll message
    CLIP = "clip"  # the first request for a task's clip: what it is like then, it stays
    DOWNLOAD = "download"  # a request for a clip


@dataclass(frozen=True)
class Kind:
    """A kind of fault: where it strikes, what happens, and whether it lasts unless told otherwise."""

    point: Point
    meaning: str
    lasting: bool = False


KINDS: dict[str, Kind] = {
    "refuseConnection": Kind(Point.CONNECT, "the connection is torn at the handshake"),
    "closeClean": Kind(Point.SUBMIT, "the socket is closed with 1000, nothing was accepted"),
    "closeTorn": Kind(Point.SUBMIT, "the socket is reset, nothing was accepted"),
    "rateLimited": Kind(Point.SUBMIT, "429 rateLimitExceeded"),
    "rateLimitedRetryAfter": Kind(Point.SUBMIT, "429 rateLimitExceeded, with Retry-After: 1 on REST"),
    "rateLimitedAnonymous": Kind(Point.SUBMIT, "429 rateLimitExceeded that names no task"),
    "serverError": Kind(Point.SUBMIT, "500 internalServerError"),
    "serviceUnavailable": Kind(Point.SUBMIT, "503 serviceUnavailable"),
    "conflictWithoutTask": Kind(Point.SUBMIT, "conflictTaskUUID although there is no such task"),
    "insufficientCredits": Kind(Point.SUBMIT, "402 insufficientCredits", lasting=True),
    "invalidModel": Kind(Point.SUBMIT, "400 invalidModel", lasting=True),
    "invalidParameter": Kind(Point.SUBMIT, "400 invalidDuration, with the allowed values", lasting=True),
    "lostAuthentication": Kind(Point.SUBMIT, "unauthorized, and the socket must authenticate again"),
    "dropReplyReset": Kind(Point.ACCEPTANCE, "accepted, then the socket is reset before the reply"),
    "dropReplyClean": Kind(Point.ACCEPTANCE, "accepted, then the socket is closed with 1000 before the reply"),
    "dropReplySilent": Kind(Point.ACCEPTANCE, "accepted, and never answered"),
    "halfReply": Kind(Point.ACCEPTANCE, "accepted, half of the reply arrives, then the socket is reset"),
    "malformedReply": Kind(Point.ACCEPTANCE, "accepted, the reply is no JSON"),
    "emptyAcceptance": Kind(Point.ACCEPTANCE, 'accepted, the reply is {"data":[]}'),
    "conflict": Kind(Point.ACCEPTANCE, "accepted, but answered conflictTaskUUID, as if by an earlier submit"),
    "failedTopLevel": Kind(Point.OUTCOME, "the render fails, told in errors[]", lasting=True),
    "failedInData": Kind(Point.OUTCOME, "the render fails, told in data[]", lasting=True),
    "failedHttp400": Kind(Point.OUTCOME, "the render fails, told in errors[] with HTTP 400", lasting=True),
    "providerTimeout": Kind(Point.OUTCOME, "the render ends as providerTimeout", lasting=True),
    "contentPolicy": Kind(Point.OUTCOME, "the render ends as invalidProviderContent", lasting=True),
    "neverEnds": Kind(Point.OUTCOME, "the render never ends", lasting=True),
    "unknownTask": Kind(Point.POLL, "the task is left out of the answer"),
    "statusBack": Kind(Point.POLL, "processing at progress 0, whatever was said before"),
    "unknownStatus": Kind(Point.POLL, "a status word that nobody knows"),
    "progressOutOfRange": Kind(Point.POLL, "a progress of 250, above all bounds"),
    "resultsDoubled": Kind(Point.POLL, "the answer comes twice"),
    "foreignResults": Kind(Point.POLL, "a success of another take comes along"),
    "extraFields": Kind(Point.POLL, "fields that nobody knows"),
    "successWithoutUrl": Kind(Point.RESULT, "success, but no videoURL"),
    "resultsShuffled": Kind(Point.MESSAGE, "the answers come in the opposite order"),
    "errorWithoutTaskUUID": Kind(Point.MESSAGE, "an error that names no task takes the answers' place"),
    "pollLostAuthentication": Kind(Point.MESSAGE, "unauthorized, and the socket must authenticate again"),
    "badGateway": Kind(Point.MESSAGE, "502 with HTML on REST, serviceUnavailable on a socket; a storm: badGatewayx20"),
    "pollHalfReply": Kind(Point.MESSAGE, "half of the reply arrives, then the socket is reset"),
    "pollMalformedReply": Kind(Point.MESSAGE, "the reply is no JSON"),
    "pollCloseClean": Kind(Point.MESSAGE, "the socket is closed with 1000 instead of a reply"),
    "pollCloseTorn": Kind(Point.MESSAGE, "the socket is reset instead of a reply"),
    "pollSilent": Kind(Point.MESSAGE, "no reply"),
    "shorterVideo": Kind(Point.CLIP, "a sound clip of half the length", lasting=True),
    "slightlyShorterVideo": Kind(Point.CLIP, "a sound clip that lasts 0.88 of what was asked for", lasting=True),
    "coverArtFirst": Kind(Point.CLIP, "cover art in front of the video track", lasting=True),
    "editList": Kind(Point.CLIP, "an edit list that leaves out the beginning, with its key picture", lasting=True),
    "rotatedVideo": Kind(Point.CLIP, "a matrix that turns the picture by a quarter", lasting=True),
    "webmBytes": Kind(Point.CLIP, "a WebM file under the name of an MP4", lasting=True),
    "undecodableBytes": Kind(Point.CLIP, "noise of the full length", lasting=True),
    "gone404": Kind(Point.DOWNLOAD, "404"),
    "forbidden403": Kind(Point.DOWNLOAD, "403"),
    "shortBody": Kind(Point.DOWNLOAD, "half of the promised length, then a reset"),
    "shortBodyNoLength": Kind(Point.DOWNLOAD, "half of the clip, no length given, ended as if well"),
    "html200": Kind(Point.DOWNLOAD, "a web page with status 200"),
    "emptyBody": Kind(Point.DOWNLOAD, "status 200 and no bytes"),
    "slowDrip": Kind(Point.DOWNLOAD, "a kilobyte at a time, with pauses"),
    "redirectElsewhere": Kind(Point.DOWNLOAD, "302 to another host"),
}

_FORM = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9]*?)(?::(?P<scenario>hook|problem|solution|cta))?"
    r"(?:@(?P<first>[1-9]\d*))?(?:x(?P<times>[1-9]\d*|\*))?(?:%(?P<rate>[01]|0?\.\d+|1\.0+))?"
)


@dataclass(frozen=True)
class Fault:
    """A fault to come: which, for which scenario, from which event on, how many times, how likely.

    `times` is None for the kind's own default and `math.inf` for ever.
    """

    name: str
    scenario: str | None = None
    first: int = 1
    times: float | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise ValueError(f"unknown fault {self.name!r}; known are {', '.join(sorted(KINDS))}")
        if self.scenario not in (None, *SCENARIOS):
            raise ValueError(f"unknown scenario {self.scenario!r}; known are {', '.join(SCENARIOS)}")

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read the text form, or raise ValueError with the form and the names."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            names = ", ".join(sorted(KINDS))
            raise ValueError(f"{text!r} is not NAME[:SCENARIO][@FIRST][xTIMES][%RATE]; scenarios: {SCENARIOS}; {names}")
        times, rate = match["times"], match["rate"]
        return cls(
            name=match["name"],
            scenario=match["scenario"],
            first=int(match["first"] or 1),
            times=None if times is None else math.inf if times == "*" else int(times),
            rate=None if rate is None else float(rate),
        )

    @property
    def limit(self) -> float:
        """Tell how many times the fault strikes at most."""
        if self.times is not None:
            return self.times
        return math.inf if self.rate is not None or KINDS[self.name].lasting else 1


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read faults separated by commas or spaces; an empty text has none."""
    return tuple(Fault.parse(part) for part in re.split(r"[,\s]+", text) if part)


@dataclass
class _Armed:
    """A fault with what has become of it so far."""

    fault: Fault
    chance: random.Random
    seen: int = 0
    struck: int = 0

    def strikes(self, scenarios: Collection[str | None]) -> bool:
        if self.fault.scenario is not None and self.fault.scenario not in scenarios:
            return False
        self.seen += 1
        if self.seen < self.fault.first or self.struck >= self.fault.limit:
            return False
        struck = self.fault.rate is None or self.chance.random() < self.fault.rate
        self.struck += struck
        return struck


class Faults:
    """The faults in force; `struck` is the history of those that struck."""

    def __init__(self, faults: Iterable[Fault | str] = (), *, seed: int = 0) -> None:
        self.struck: list[str] = []
        self._seed = seed
        self._armed: list[_Armed] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault | str) -> None:
        """Put a fault in force from now on."""
        known = Fault.parse(fault) if isinstance(fault, str) else fault
        # Every fault has dice of its own, so that adding another one does not change when it strikes.
        chance = random.Random(f"{self._seed}:{known}")  # noqa: S311  (dice, not secrets)
        self._armed.append(_Armed(known, chance))

    def strike(self, point: Point, scenarios: Collection[str | None] = (None,)) -> str | None:
        """Count one event at a point and name the fault that strikes there; the first in force wins."""
        at_point = [armed for armed in self._armed if KINDS[armed.fault.name].point is point]
        striking = [armed.fault.name for armed in at_point if armed.strikes(scenarios)]
        self.struck += striking[:1]
        return striking[0] if striking else None
