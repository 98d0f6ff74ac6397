"""When captions are shown: words spread over the stretch that is spoken, or the times of an SRT file."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from adreel.cut.plan import RATE, Caption
from adreel.models.srt import Cue

PHRASE_LENGTH = 42
"""Maximum letters of a caption, which is what viewers read in two seconds."""
SENTENCE_ENDS = (".", "!", "?", "…", ":", ";")
LINGER_FRAMES = 8
"""Frames that a caption stays behind its last word."""


def phrases(text: str) -> list[list[str]]:
    """Split a narration into the words of its captions: at the ends of sentences, and before it gets too long."""
    found: list[list[str]] = []
    for sentence in _sentences(text.split()):
        # Lines of about the same length are read faster than a full one and a rest.
        count = -(-len(" ".join(sentence)) // PHRASE_LENGTH)
        aim = len(" ".join(sentence)) / count
        phrase: list[str] = []
        for word in sentence:
            length = len(" ".join([*phrase, word]))
            if phrase and (length > PHRASE_LENGTH or length - len(word) / 2 > aim):
                found.append(phrase)
                phrase = []
            phrase.append(word)
        found.append(phrase)
    return found


def _sentences(words: list[str]) -> list[list[str]]:
    sentences: list[list[str]] = [[]]
    for word in words:
        sentences[-1].append(word)
        if word.rstrip("\"'»”\u2019)").endswith(SENTENCE_ENDS):
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def spread_narration(text: str, frames: int, spoken: Sequence[tuple[int, int]]) -> tuple[Caption, ...]:
    """Spread the words of a scene over the stretch from its first sound to its last, by their lengths."""
    start = min((begin for begin, _ in spoken), default=0)
    end = min(max((end for _, end in spoken), default=frames), frames)
    parts = phrases(text)
    words = [word for phrase in parts for word in phrase]
    if not words:
        return ()
    if end - start < len(words):
        start, end = 0, frames
    # A space counts as one letter.
    letters = [len(word) + 1 for word in words]
    moments = [start + round((end - start) * sum(letters[:number]) / sum(letters)) for number in range(len(words) + 1)]
    times = list(pairwise(moments))
    captions: list[Caption] = []
    first = 0
    for phrase in parts:
        last = first + len(phrase)
        is_final = last == len(words)
        until = min(moments[last] + LINGER_FRAMES, frames) if is_final else moments[last]
        spans = tuple((word, *times[first + number]) for number, word in enumerate(phrase))
        captions.append(Caption(" ".join(phrase), moments[first], max(until, moments[first] + 1), spans))
        first = last
    return tuple(captions)


def captions_of_scene(cues: Iterable[Cue], starts: int, frames: int) -> tuple[Caption, ...]:
    """Return the cues that are seen in a scene of the ad, in frames of the scene."""
    found = []
    for cue in cues:
        begin, end = max(round(cue.start * RATE) - starts, 0), min(round(cue.end * RATE) - starts, frames)
        if begin < end:
            found.append(Caption(cue.text, begin, end, _words(cue.text, begin, end)))
    return tuple(found)


def cues_of_ad(scenes: Iterable[tuple[int, tuple[Caption, ...]]]) -> list[Cue]:
    """Return the captions of all scenes, each with the frame where it starts, in seconds of the ad."""
    cues: list[Cue] = []
    for starts, captions in scenes:
        for caption in captions:
            start, end = (starts + caption.start) / RATE, (starts + caption.end) / RATE
            if cues and cues[-1].text == caption.text and cues[-1].end >= start:
                # A cue of an SRT file that lasts over the end of a scene.
                cues[-1] = Cue(cues[-1].start, end, caption.text)
            else:
                cues.append(Cue(start, end, caption.text))
    return cues


def _words(text: str, start: int, end: int) -> tuple[tuple[str, int, int], ...]:
    words = text.split()
    total = sum(len(word) + 1 for word in words)
    spans, at = [], 0
    for word in words:
        begin, at = at, at + len(word) + 1
        spans.append((word, start + (end - start) * begin // total, start + (end - start) * at // total))
    return tuple(spans)
