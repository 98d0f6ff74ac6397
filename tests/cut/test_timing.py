"""When captions are shown, and how SRT files are read and written."""

import pytest

from adreel.cut.timing import PHRASE_LENGTH, captions_of_scene, cues_of_ad, phrases, spread_narration, within_scene
from adreel.errors import InputError
from adreel.models.srt import Cue, format_srt, parse_srt

LONG = " ".join(f"word{number}" for number in range(40))


@pytest.mark.parametrize(
    "text", ["Read on.", LONG, "One. Two! Three? And a much longer sentence that has to be split."]
)
def test_phrases_keep_every_word_and_are_short_enough(text: str) -> None:
    found = phrases(text)
    assert [word for phrase in found for word in phrase] == text.split()
    assert all(len(" ".join(phrase)) <= PHRASE_LENGTH for phrase in found)


def test_phrases_of_a_sentence_are_about_as_long() -> None:
    for words in range(2, 40):
        lengths = [len(" ".join(phrase)) for phrase in phrases(" ".join(LONG.split()[:words]))]
        assert min(lengths) >= max(lengths) * 0.6


def test_more_words_than_can_be_spoken_are_spread_over_the_scene() -> None:
    captions = spread_narration(LONG, 170, [(30, 80)])
    assert (captions[0].start, captions[-1].end) == (0, 170)


def test_words_are_spread_over_the_spoken_stretch() -> None:
    captions = spread_narration("Your page. And nobody else's.", 150, [(30, 60), (70, 120)])
    assert [caption.text for caption in captions] == ["Your page.", "And nobody else's."]
    assert (captions[0].start, captions[0].end) == (30, captions[1].start)
    assert 120 <= captions[1].end <= 150
    assert [word for word, _, _ in captions[1].words] == ["And", "nobody", "else's."]
    assert captions[1].words[-1][2] == 120


@pytest.mark.parametrize("frames", [1, 10, 39, 150])
def test_forty_words_fit_into_any_scene_without_gaps_or_overlaps(frames: int) -> None:
    captions = spread_narration(LONG, frames, [])
    times = [time for caption in captions for time in (caption.start, caption.end)]
    if frames >= 40:
        assert times == sorted(times)
        assert times[-1] <= frames
    assert all(caption.end > caption.start for caption in captions)


def test_stretches_of_the_ad_are_cut_at_the_ends_of_a_scene() -> None:
    stretches = [(0, 20), (50, 110), (130, 140), (200, 220)]
    assert within_scene(stretches, 60, 90) == [(0, 50), (70, 80)]
    assert within_scene(stretches, 150, 30) == []


def test_a_silent_scene_spreads_its_words_over_all_of_it() -> None:
    [caption] = spread_narration("Read on.", 60, [])
    assert (caption.start, caption.end) == (0, 60)
    assert spread_narration("", 60, []) == ()


def test_a_cue_over_a_cut_is_shown_in_both_scenes_and_written_once() -> None:
    cues = [Cue(1.0, 3.0, "Over the cut")]
    scenes = [(start, captions_of_scene(cues, start, 60)) for start in (0, 60)]
    assert [(each.start, each.end) for _, captions in scenes for each in captions] == [(30, 60), (0, 30)]
    assert cues_of_ad(scenes) == cues


def test_srt_files_survive_a_round_trip_and_the_habits_of_editors() -> None:
    lines = ["\ufeff1", "00:00:00,200 --> 00:00:01,500 X1:40", "<i>Hello</i>,", "world", ""]
    lines += ["00:01:01.5 --> 01:00:00.25", "End", ""]
    cues = parse_srt("\r\n".join(lines).encode(), "file")
    assert cues == [Cue(0.2, 1.5, "Hello, world"), Cue(61.5, 3600.25, "End")]
    assert parse_srt(format_srt(cues).encode(), "file") == cues


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no times"),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\nx", "caption 1 has no times"),
        (b"1\n00:00:02,000 --> 00:00:01,000\nx", "caption 1 ends before it begins"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n\xff", "not an SRT file in UTF-8"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n", "has 0 captions"),
        (b"1\n00:00:01,000 --> 00:00:02,000\na\x07b", r"control character U\+0007"),
    ],
)
def test_a_wrong_srt_file_is_named_with_its_caption(content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_srt(content, "words.srt")
