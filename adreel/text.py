"""Cleaning of untrusted text for records, databases and terminals, and the word that a mistyped one means.

PostgreSQL refuses NUL, lone surrogates can't be encoded as UTF-8, escape sequences control terminals, and
bidirectional overrides disguise text.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MESSAGE_LENGTH = 1000
"""Default maximum length of a cleaned message."""

SEARCHED = 10_000
"""Extra characters that are cleaned before the text is truncated."""

# CSI and OSC sequences are removed whole: without the escape character, the rest would stay as noise.
_ESCAPE_SEQUENCES = re.compile(r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)")
# Control characters of terminals, and marks that override the direction of text.
CONTROL_CHARACTERS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_NO_PROSE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_UNUSABLE = re.compile(f"{CONTROL_CHARACTERS.pattern}|{_SURROGATES.pattern}")


def clean_text(text: str, most: int = MESSAGE_LENGTH) -> str:
    """Return a text without control characters, lone surrogates and direction overrides, of at most `most` characters.

    Line breaks and tabs stay. A truncated text ends with an ellipsis.
    """
    # Cleaning megabytes of text would waste time.
    shortened = text[: most + SEARCHED]
    if _UNUSABLE.search(shortened):
        shortened = _SURROGATES.sub(REPLACEMENT, CONTROL_CHARACTERS.sub("", _ESCAPE_SEQUENCES.sub("", shortened)))
    if len(shortened) > most or len(text) > most + SEARCHED:
        return f"{shortened[: most - 1]}…"
    return shortened


def clean_line(text: str, most: int = MESSAGE_LENGTH) -> str:
    """Return a clean text on one line, so that it can't forge lines of a log."""
    line = clean_text(" ".join(text[: most + SEARCHED].split()), most)
    return f"{line[: most - 1]}…" if len(text) > most + SEARCHED else line


def is_clean(text: str) -> bool:
    """Whether `clean_text` would at most truncate a text."""
    return not _UNUSABLE.search(text)


def control_character(text: str) -> str | None:
    """Return the first control character or lone surrogate as `U+0000`; None if there is none.

    Direction marks are allowed: Arabic and Hebrew prose uses them.
    """
    found = _NO_PROSE.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def closest(given: str, choices: Iterable[str]) -> str:
    """Return the choice that was probably meant; empty if none is like it."""
    return next(iter(get_close_matches(given, list(choices), n=1)), "")


def advise(given: str, choices: Iterable[str]) -> str:
    """Return the advice for an unknown name: what was probably meant, and all that there is."""
    names = list(choices)
    similar = closest(given, names)
    return f"did you mean {similar}? Choose from {', '.join(names)}" if similar else f"choose from {', '.join(names)}"
