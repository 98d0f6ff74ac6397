"""Faults: what goes wrong at the emulator, at which point, how often, and their text form.

The table `KINDS` gives the point of each fault. The code at a point calls `Faults.strike`, which returns the name of
the fault that strikes there, if any. The effects are looked up by that name: `replies` for replies and failed renders,
`clip_faults` for clips, `downloads` for their transfer. The text form, for the command line or an environment variable:

    NAME[:TARGET][@FIRST][xTIMES][%RATE]        several are separated by commas or spaces

    providerTimeout:solution      every render of a solution scene ends with a provider timeout
    failedInData:voice@2x1        the second voice fails
    contentPolicy:still-hook      every still of a hook scene is refused by the provider
    dropReplyReset@2              the reply to the second accepted submit is lost with the connection
    rateLimitedx3                 the first three submits are refused
    failedInData:ctax1            the first cta scene fails, the next attempt succeeds
    badGateway@5x*                every poll message from the fifth on
    rateLimited%0.1               each submit with a probability of 0.1, seeded

TARGET is a scenario, for the clips of that scene; a kind: clip, voice, music or still; or a still of a scene, such as
still-hook. A voice can't be aimed at by its scene: its request has no word about it. Without TARGET, all tasks are hit.
FIRST is the number of the first event at which the fault can strike, counted from 1 over the events of its point and
target. TIMES is a number, or `*` for no limit. Without TIMES there is no limit for faults with a RATE and for lasting
kinds; other faults strike once.
"""

import math
import random
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

SCENARIOS = ("hook", "problem", "solution", "cta")
TARGETS = (*SCENARIOS, *(f"still-{scenario}" for scenario in SCENARIOS), "clip", "voice", "music", "still")


class Point(StrEnum):
    """Where a fault can strike. Each point is one kind of event with its own count."""

    CONNECT = "connect"  # a WebSocket handshake, or a REST request
    SUBMIT = "submit"  # a submit, before it is validated: no task is created
    ACCEPTANCE = "acceptance"  # the reply to a submit that has created a task
    OUTCOME = "outcome"  # the end of a render
    POLL = "poll"  # the state of one polled task
    RESULT = "result"  # a polled state that is success
    MESSAGE = "message"  # the whole reply to a poll message
    CLIP = "clip"  # the first request for a task's clip, whose fault is permanent
    SOUND = "sound"  # the same for a voice and for music
    STILL = "still"  # the same for a still
    DOWNLOAD = "download"  # a request for a file


@dataclass(frozen=True)
class Kind:
    """A kind of fault. A lasting kind strikes at every event unless TIMES limits it."""

    point: Point
    meaning: str
    lasting: bool = False


KINDS: dict[str, Kind] = {
    "refuseConnection": Kind(Point.CONNECT, "the connection is reset at the handshake"),
    "closeClean": Kind(Point.SUBMIT, "the socket is closed with 1000, nothing was accepted"),
    "closeTorn": Kind(Point.SUBMIT, "the socket is reset, nothing was accepted"),
    "rateLimited": Kind(Point.SUBMIT, "429 rateLimitExceeded"),
    "rateLimitedRetryAfter": Kind(Point.SUBMIT, "429 rateLimitExceeded, with Retry-After: 1 on REST"),
    "rateLimitedAnonymous": Kind(Point.SUBMIT, "429 rateLimitExceeded, without a taskUUID"),
    "serverError": Kind(Point.SUBMIT, "500 internalServerError"),
    "serviceUnavailable": Kind(Point.SUBMIT, "503 serviceUnavailable"),
    "conflictWithoutTask": Kind(Point.SUBMIT, "conflictTaskUUID, but there is no such task"),
    "insufficientCredits": Kind(Point.SUBMIT, "402 insufficientCredits", lasting=True),
    "invalidModel": Kind(Point.SUBMIT, "400 invalidModel", lasting=True),
    "invalidParameter": Kind(Point.SUBMIT, "400 invalidDuration, with the allowed values", lasting=True),
    "lostAuthentication": Kind(Point.SUBMIT, "unauthorized, and the socket must authenticate again"),
    "dropReplyReset": Kind(Point.ACCEPTANCE, "accepted, then the socket is reset before the reply"),
    "dropReplyClean": Kind(Point.ACCEPTANCE, "accepted, then the socket is closed with 1000 before the reply"),
    "dropReplySilent": Kind(Point.ACCEPTANCE, "accepted, no reply"),
    "halfReply": Kind(Point.ACCEPTANCE, "accepted, half of the reply arrives, then the socket is reset"),
    "malformedReply": Kind(Point.ACCEPTANCE, "accepted, the reply is no JSON"),
    "emptyAcceptance": Kind(Point.ACCEPTANCE, 'accepted, the reply is {"data":[]}'),
    "conflict": Kind(Point.ACCEPTANCE, "accepted, but answered conflictTaskUUID, as if by an earlier submit"),
    "failedTopLevel": Kind(Point.OUTCOME, "the render fails, reported in errors[]", lasting=True),
    "failedInData": Kind(Point.OUTCOME, "the render fails, reported in data[]", lasting=True),
    "failedHttp400": Kind(Point.OUTCOME, "the render fails, reported in errors[] with HTTP 400", lasting=True),
    "providerTimeout": Kind(Point.OUTCOME, "the render ends as providerTimeout", lasting=True),
    "contentPolicy": Kind(Point.OUTCOME, "the render ends as invalidProviderContent", lasting=True),
    "neverEnds": Kind(Point.OUTCOME, "the render never ends", lasting=True),
    "unknownTask": Kind(Point.POLL, "the task is missing in the reply"),
    "statusBack": Kind(Point.POLL, "processing at progress 0, after any earlier state"),
    "unknownStatus": Kind(Point.POLL, "an unknown status"),
    "progressOutOfRange": Kind(Point.POLL, "a progress of 250"),
    "resultsDoubled": Kind(Point.POLL, "each result comes twice"),
    "foreignResults": Kind(Point.POLL, "a success of another task is added"),
    "extraFields": Kind(Point.POLL, "unknown fields"),
    "successWithoutUrl": Kind(Point.RESULT, "success without a URL"),
    "resultsShuffled": Kind(Point.MESSAGE, "the results come in reverse order"),
    "errorWithoutTaskUUID": Kind(Point.MESSAGE, "an error without a taskUUID replaces the results"),
    "pollLostAuthentication": Kind(Point.MESSAGE, "unauthorized, and the socket must authenticate again"),
    "badGateway": Kind(Point.MESSAGE, "502 with HTML on REST, serviceUnavailable on a socket; a storm: badGatewayx20"),
    "pollHalfReply": Kind(Point.MESSAGE, "half of the reply arrives, then the socket is reset"),
    "pollMalformedReply": Kind(Point.MESSAGE, "the reply is no JSON"),
    "pollCloseClean": Kind(Point.MESSAGE, "the socket is closed with 1000 instead of a reply"),
    "pollCloseTorn": Kind(Point.MESSAGE, "the socket is reset instead of a reply"),
    "pollSilent": Kind(Point.MESSAGE, "no reply"),
    "shorterVideo": Kind(Point.CLIP, "a valid clip of half the length", lasting=True),
    "slightlyShorterVideo": Kind(Point.CLIP, "a valid clip of 0.88 times the length", lasting=True),
    "coverArtFirst": Kind(Point.CLIP, "cover art in front of the video track", lasting=True),
    "editList": Kind(Point.CLIP, "an edit list that skips the beginning and its key frame", lasting=True),
    "rotatedVideo": Kind(Point.CLIP, "a matrix that rotates the video by 90 degrees", lasting=True),
    "webmBytes": Kind(Point.CLIP, "a WebM file under the name of an MP4", lasting=True),
    "undecodableBytes": Kind(Point.CLIP, "noise of the full length", lasting=True),
    "shorterSound": Kind(Point.SOUND, "a valid sound of half the length", lasting=True),
    "silentSound": Kind(Point.SOUND, "a valid sound of the full length, silent", lasting=True),
    "truncatedSound": Kind(Point.SOUND, "the first half of the file", lasting=True),
    "undecodableSound": Kind(Point.SOUND, "noise of the full length", lasting=True),
    "smallerStill": Kind(Point.STILL, "a valid image of half the size", lasting=True),
    "truncatedStill": Kind(Point.STILL, "the first half of the file", lasting=True),
    "undecodableStill": Kind(Point.STILL, "noise of the full length", lasting=True),
    "gone404": Kind(Point.DOWNLOAD, "404"),
    "forbidden403": Kind(Point.DOWNLOAD, "403"),
    "shortBody": Kind(Point.DOWNLOAD, "half of the promised length, then a reset"),
    "shortBodyNoLength": Kind(Point.DOWNLOAD, "half of the file without a length, ended normally"),
    "html200": Kind(Point.DOWNLOAD, "a web page with status 200"),
    "emptyBody": Kind(Point.DOWNLOAD, "status 200 and no bytes"),
    "slowDrip": Kind(Point.DOWNLOAD, "a kilobyte at a time, with pauses"),
    "redirectElsewhere": Kind(Point.DOWNLOAD, "302 to another host"),
}

_FORM = re.compile(
    rf"(?P<name>[A-Za-z][A-Za-z0-9]*?)(?::(?P<scenario>{'|'.join(TARGETS)}))?"
    r"(?:@(?P<first>[1-9]\d*))?(?:x(?P<times>[1-9]\d*|\*))?(?:%(?P<rate>[01]|0?\.\d+|1\.0+))?"
)


@dataclass(frozen=True)
class Fault:
    """An injected fault. `scenario` is its target: that of clips, a kind, or a still of a scene.

    `times` is None for the default of its kind and `math.inf` for no limit.
    """

    name: str
    scenario: str | None = None
    first: int = 1
    times: float | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise ValueError(f"unknown fault {self.name!r}; known are {', '.join(sorted(KINDS))}")
        if self.scenario not in (None, *TARGETS):
            raise ValueError(f"unknown target {self.scenario!r}; known are {', '.join(TARGETS)}")

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Parse the text form. A ValueError names the form and the known faults."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            names, targets = ", ".join(sorted(KINDS)), ", ".join(TARGETS)
            raise ValueError(
                f"{text!r} is not NAME[:TARGET][@FIRST][xTIMES][%RATE]; targets: {targets}; names: {names}"
            )
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
        """Return how many times the fault strikes at most."""
        if self.times is not None:
            return self.times
        return math.inf if self.rate is not None or KINDS[self.name].lasting else 1


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Parse faults that are separated by commas or spaces."""
    return tuple(Fault.parse(part) for part in re.split(r"[,\s]+", text) if part)


@dataclass
class _Armed:
    """A fault, the number of its events, and how often it has struck."""

    fault: Fault
    chance: random.Random
    seen: int = 0
    struck: int = 0

    def strikes(self, targets: Collection[str | None]) -> bool:
        if self.fault.scenario is not None and self.fault.scenario not in targets:
            return False
        self.seen += 1
        if self.seen < self.fault.first or self.struck >= self.fault.limit:
            return False
        struck = self.fault.rate is None or self.chance.random() < self.fault.rate
        self.struck += struck
        return struck


class Faults:
    """The injected faults. `struck` is the history of those that struck."""

    def __init__(self, faults: Iterable[Fault | str] = (), *, seed: int = 0) -> None:
        self.struck: list[str] = []
        self._seed = seed
        self._armed: list[_Armed] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault | str) -> None:
        """Add a fault."""
        known = Fault.parse(fault) if isinstance(fault, str) else fault
        # Each fault has its own random generator: another fault must not change when this one strikes.
        chance = random.Random(f"{self._seed}:{known}")  # noqa: S311  (dice, not secrets)
        self._armed.append(_Armed(known, chance))

    def strike(self, point: Point, targets: Collection[str | None] = ()) -> str | None:
        """Count one event at a point and return the fault that strikes there. The first one added wins."""
        at_point = [armed for armed in self._armed if KINDS[armed.fault.name].point is point]
        striking = [armed.fault.name for armed in at_point if armed.strikes(targets)]
        self.struck += striking[:1]
        return striking[0] if striking else None
