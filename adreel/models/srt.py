"""SubRip captions (SRT): numbered cues with times from the start of the ad."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from adreel.errors import InputError
from adreel.text import control_character

TIMES = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})(?:\s.*)?")
# Bold, italics and colours of players; the style of the cut decides.
TAGS = re.compile(r"</?(?:b|i|u|font)\b[^>]*>|\{\\[^}]*\}", re.IGNORECASE)
MAX_CUES = 500


@dataclass(frozen=True)
class Cue:
    """A caption, in seconds from the start of the ad."""

    start: float
    end: float
    text: str


def parse_srt(content: bytes, source: str) -> list[Cue]:
    """Read cues in the order of their times; InputError names the first wrong one."""
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise InputError(f"{source} is not an SRT file in UTF-8") from None
    cues: list[Cue] = []
    for number, block in enumerate(re.split(r"\n\s*\n", text.strip()), 1):
        lines = block.strip().split("\n")
        if lines[0].strip().isdigit():
            lines = lines[1:]
        times = TIMES.fullmatch(lines[0].strip()) if lines else None
        if times is None:
            raise InputError(
                f"{source} is not an SRT file: caption {number} has no times such as 00:00:01,000 --> 00:00:02,500"
            )
        start, end = _seconds(*times.groups()[:4]), _seconds(*times.groups()[4:])
        if end <= start:
            raise InputError(f"{source}: caption {number} ends before it begins")
        if words := " ".join(TAGS.sub("", " ".join(lines[1:])).split()):
            if character := control_character(words):
                raise InputError(f"{source}: caption {number} has the control character {character}")
            cues.append(Cue(start, end, words))
    if not cues or len(cues) > MAX_CUES:
        raise InputError(f"{source} has {len(cues)} captions: 1 to {MAX_CUES} are possible")
    return sorted(cues, key=lambda cue: cue.start)


def format_srt(cues: Iterable[Cue]) -> str:
    """Return cues as a SubRip file."""
    return "\n".join(
        f"{number}\n{_timestamp(cue.start)} --> {_timestamp(cue.end)}\n{cue.text}\n"
        for number, cue in enumerate(cues, 1)
    )


def _seconds(hours: str, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _timestamp(seconds: float) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{thousandths:03}"
