"""Samples of voices and music, without an array library: a period or a second is computed once, and repeated.

A voice is a buzz with the formants of vowels, a burst for each word, and longer pauses between sentences. Music is a
progression of chords with a pulse.
"""

import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, cycle
from typing import TypeAlias

from adreel.emulator.sounds import SENTENCE_ENDS, Sound, spoken_parts

Samples: TypeAlias = "array[int]"
"""Signed 16-bit samples, interleaved if there are two channels."""
PEAK = 32767

VOICE_RATE = 24_000
VOICE_LEVEL = 0.117
"""Root mean square of a vowel: about -20 LUFS for a text with its pauses."""
PITCHES = (95, 240)
VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
"""The first three formants in Hz of a, e, i, o and u."""
FORMANT_WIDTH = 110
HIGHEST_PARTIAL = 4_000
EDGE_SECONDS = 0.012
WORD_SHARE = 0.86
"""Part of a word's time in which it sounds."""
PAUSE_SHARE = 0.6
"""Pause after a sentence, as a part of a word's time."""
LETTERS_PER_SYLLABLE = 3

MUSIC_RATE = 48_000
MUSIC_LEVEL = 0.09
MUSIC_FADE_SECONDS = 0.05
ROOTS = (110, 120, 130, 140, 150, 160)
PROGRESSION = ((1.0, 5 / 4, 3 / 2), (5 / 6, 1.0, 5 / 4), (4 / 3, 5 / 3, 2.0), (3 / 2, 15 / 8, 9 / 4))
PULSES_PER_SECOND = 2
PULSE_DEPTH = 0.35


@dataclass(frozen=True)
class Recording:
    """Samples with their rate and number of channels."""

    samples: Samples
    rate: int
    channels: int


def synthesize(sound: Sound) -> Recording:
    """Return the samples of a sound, as long as ordered to the sample."""
    voice = sound.kind == "voice"
    rate, channels = (VOICE_RATE, 1) if voice else (MUSIC_RATE, 2)
    length = max(1, round(sound.seconds * rate))
    if sound.is_silent:
        return Recording(array("h", bytes(2 * length * channels)), rate, channels)
    return Recording(_speak(sound, length) if voice else _play(sound, length), rate, channels)


def _speak(sound: Sound, length: int) -> Samples:
    parts = spoken_parts(sound.text)
    dice = random.Random(f"{sound.singer}:{sound.seed if not sound.singer else ''}")  # noqa: S311  (a voice, no secret)
    period = VOICE_RATE // dice.randint(*PITCHES)
    weights = [seconds for _, seconds in parts]
    pauses = [PAUSE_SHARE * seconds if SENTENCE_ENDS.search(part) else 0.0 for part, seconds in parts[:-1]]
    unit = length / (sum(weights) + sum(pauses))
    samples: Samples = array("h")
    place = 0.0
    for (part, weight), pause in zip(parts, [*pauses, 0.0], strict=True):
        samples.extend(_silence(round(place) - len(samples)))
        samples.extend(_word(part, int(WORD_SHARE * weight * unit), period))
        place += (weight + pause) * unit
    samples.extend(_silence(length - len(samples)))
    return samples


def _word(word: str, length: int, period: int) -> Samples:
    """Return a word: a vowel for every few letters, chosen by the letter."""
    letters = word[::LETTERS_PER_SYLLABLE]
    burst: Samples = array("h")
    for number, letter in enumerate(letters):
        end = length * (number + 1) // len(letters)
        burst.extend(_syllable(ord(letter) % len(VOWELS), end - len(burst), period))
    return burst


def _syllable(vowel: int, length: int, period: int) -> Samples:
    wave = _vowel(vowel, period)
    syllable = (wave * (length // period + 1))[:length]
    edge = min(int(EDGE_SECONDS * VOICE_RATE), length // 2)
    for step in range(edge):
        syllable[step] = syllable[step] * step // edge
        syllable[-1 - step] = syllable[-1 - step] * step // edge
    return syllable


@lru_cache(maxsize=256)
def _vowel(vowel: int, period: int) -> Samples:
    """Return one period of a vowel."""
    pitch = VOICE_RATE / period
    partials = [
        (
            number,
            sum(
                math.exp(-(((number * pitch - formant) / FORMANT_WIDTH) ** 2) / 2) / (1 + place)
                for place, formant in enumerate(VOWELS[vowel])
            )
            + 0.5 / number,
        )
        for number in range(1, int(HIGHEST_PARTIAL / pitch))
    ]
    turn = 2 * math.pi / period
    wave = [sum(strength * math.sin(turn * number * at) for number, strength in partials) for at in range(period)]
    return _scaled(wave, VOICE_LEVEL)


def _play(sound: Sound, length: int) -> Samples:
    dice = random.Random(sound.seed)  # noqa: S311  (music, not secrets)
    root, order = dice.choice(ROOTS), dice.sample(range(len(PROGRESSION)), len(PROGRESSION))
    loop: Samples = array("h")
    for chord in order:
        loop.extend(_chord(root, chord))
    samples = (loop * (2 * length // len(loop) + 1))[: 2 * length]
    fade = min(int(MUSIC_FADE_SECONDS * MUSIC_RATE), length // 2)
    for step in range(2 * fade):
        samples[step] = samples[step] * step // (2 * fade)
        samples[-1 - step] = samples[-1 - step] * step // (2 * fade)
    return samples


@lru_cache(maxsize=len(ROOTS) * len(PROGRESSION))
def _chord(root: int, chord: int) -> Samples:
    """Return a second of a chord with its pulse in stereo. Whole Hertz make it repeat without a click."""
    notes = [round(root * step) for step in PROGRESSION[chord]]
    beat = MUSIC_RATE // PULSES_PER_SECOND
    pulse = [1 - PULSE_DEPTH + PULSE_DEPTH * (1 + math.cos(2 * math.pi * at / beat)) / 2 for at in range(beat)]
    sides = [
        [strength * sum(values) for strength, values in zip(cycle(pulse), zip(*map(_sine, side), strict=True))]
        for side in ([*notes, notes[0] * 2], [*notes, notes[1] * 2])
    ]
    return _scaled(list(chain.from_iterable(zip(*sides, strict=True))), MUSIC_LEVEL)


@lru_cache(maxsize=64)
def _sine(frequency: int) -> "array[float]":
    turn = 2 * math.pi * frequency / MUSIC_RATE
    return array("f", (math.sin(turn * at) for at in range(MUSIC_RATE)))


def _scaled(wave: list[float], level: float) -> Samples:
    """Return a wave as samples of a level (root mean square, 1 for full scale)."""
    factor = PEAK * level / math.sqrt(sum(value * value for value in wave) / len(wave))
    return array("h", (max(-PEAK, min(PEAK, round(factor * value))) for value in wave))


def _silence(length: int) -> Samples:
    return array("h", bytes(2 * max(0, length)))


def blocks(recording: Recording, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the samples in blocks of as many samples per channel, each with the position of its first."""
    content, step = recording.samples.tobytes(), 2 * recording.channels * size
    yield from (
        (start // (2 * recording.channels), content[start : start + step]) for start in range(0, len(content), step)
    )
