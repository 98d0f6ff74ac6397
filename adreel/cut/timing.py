"""When captions are shown: words spread over the stretch that is spoken, or the times of an SRT file."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby, islice, pairwise

from adreel.cut.plan import RATE, Caption
from adreel.models.srt import Cue

PHRASE_LENGTH = 42
"""Maximum letters of a caption, which is what viewers read in two seconds."""
SENTENCE_ENDS = (".", "!", "?", "…", ":", ";")
FASTEST_WORD = 4
"""Fewest frames of a spoken word."""
LINGER_FRAMES = 8
"""Frames that a caption stays behind its last word."""


def phrases(text: str) -> list[list[str]]:
    """Split a narration into the words of its captions: at the ends of sentences, and before it gets too long."""
    sentences: list[list[str]] = [[]]
    for word in text.split():
        sentences[-1].append(word)
        if word.rstrip("\"'»”\u2019)").endswith(SENTENCE_ENDS):
            sentences.append([])
    found: list[list[str]] = []
    for sentence in filter(None, sentences):
        centers = [end - len(word) / 2 for word, end in zip(sentence, accumulate(map(len, sentence)), strict=True)]
        parts: list[list[str]] = []
        # Phrases of about the same length are read faster than full ones and a rest.
        for count in range(1, len(sentence) + 1):
            share = sum(map(len, sentence)) / count
            numbered = groupby(zip(sentence, centers, strict=True), key=lambda each: int(each[1] / share))
            parts = [[word for word, _ in group] for _, group in numbered]
            if max(len(" ".join(part)) for part in parts) <= PHRASE_LENGTH:
                break
        found += parts
    return found


def spread_words(words: Sequence[str], start: int, end: int) -> list[tuple[str, int, int]]:
    """Return each word with its first and last frame: as much of the time as its share of the letters."""
    # A space counts as one letter.
    until = list(accumulate((len(word) + 1 for word in words), initial=0))
    moments = [start + round((end - start) * letters / max(until[-1], 1)) for letters in until]
    return [(word, *times) for word, times in zip(words, pairwise(moments), strict=True)]


def spread_narration(text: str, frames: int, spoken: Sequence[tuple[int, int]]) -> tuple[Caption, ...]:
    """Spread the words of a scene over the stretch from its first sound to its last, by their lengths."""
    start = min((begin for begin, _ in spoken), default=0)
    end = min(max((end for _, end in spoken), default=frames), frames)
    parts = phrases(text)
    words = [word for phrase in parts for word in phrase]
    if end - start < len(words) * FASTEST_WORD:
        # Nobody speaks so fast: the sound is another one.
        start, end = 0, frames
    times = iter(spread_words(words, start, end))
    captions: list[Caption] = []
    for phrase in parts:
        spans = tuple(islice(times, len(phrase)))
        begin, until = spans[0][1], spans[-1][2]
        if phrase is parts[-1]:
            until = min(until + LINGER_FRAMES, frames)
        captions.append(Caption(" ".join(phrase), begin, max(until, begin + 1), spans))
    return tuple(captions)


def within_scene(stretches: Iterable[tuple[int, int]], starts: int, frames: int) -> list[tuple[int, int]]:
    """Return the parts of stretches of the ad that are in a scene, in frames of the scene."""
    shifted = ((max(begin - starts, 0), min(end - starts, frames)) for begin, end in stretches)
    return [(begin, end) for begin, end in shifted if begin < end]


def captions_of_scene(cues: Iterable[Cue], starts: int, frames: int) -> tuple[Caption, ...]:
    """Return the cues that are seen in a scene of the ad, in frames of the scene."""
    found = []
    for cue in cues:
        begin, end = max(round(cue.start * RATE) - starts, 0), min(round(cue.end * RATE) - starts, frames)
        if begin < end:
            found.append(Caption(cue.text, begin, end, tuple(spread_words(cue.text.split(), begin, end))))
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
