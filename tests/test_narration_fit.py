"""How much of a narration fits a scene, by language."""

from pathlib import Path

import pytest

from adreel.models.narration import CHARACTERS_PER_SECOND, WORDS_PER_SECOND, Fit, narration_fit
from adreel.models.sessions import read_session

ROOT = Path(__file__).parent.parent
EXAMPLES = [*(ROOT / "examples").glob("*.yaml"), ROOT / "adreel" / "models" / "example.yaml"]


@pytest.mark.parametrize(
    ("language", "most"),
    [("en", 12), ("en-GB", 12), ("de", 9), ("fr", 10), ("es", 12), ("pl", 9), ("nl", 11), ("is", 10), (None, 12)],
)
def test_words_are_counted(language: str | None, most: int) -> None:
    words = "wort " * 13
    assert narration_fit(words, 5, language) == Fit(13, most, "words")


@pytest.mark.parametrize(
    ("language", "text", "count", "most"),
    [
        ("zh", "点亮你的夜晚。", 6, 20),
        ("ja", "夜を、明るく。", 5, 25),
        ("ko", "당신의 밤을 밝히세요.", 9, 22),
        ("th", "สว่างทั้งคืน", 12, 50),
    ],
)
def test_characters_are_counted(language: str, text: str, count: int, most: int) -> None:
    assert narration_fit(text, 5, language) == Fit(count, most, "characters")
    assert narration_fit(text, 5) == Fit(count, most, "characters"), "the script tells the language"


def test_a_script_without_blanks_is_never_counted_in_words() -> None:
    assert narration_fit("点亮你的夜晚" * 9, 5, "en").unit == "characters"


@pytest.mark.parametrize(("speed", "most"), [(0.5, 6), (1, 12), (1.5, 18)])
def test_a_faster_voice_says_more(speed: float, most: int) -> None:
    assert narration_fit("word", 5, "en", speed).most == most


def test_what_is_not_spoken_is_not_counted() -> None:
    assert narration_fit("One - two ... three!", 5).count == 3


def test_exactly_full_is_no_excess() -> None:
    assert narration_fit("word " * 12, 5, "es").is_given
    assert not narration_fit("word " * 13, 5, "es").is_given


def test_each_language_has_one_rate() -> None:
    assert not WORDS_PER_SECOND.keys() & CHARACTERS_PER_SECOND.keys()
    assert WORDS_PER_SECOND["en"] == 2.5


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_narrations_of_the_examples_fit(file: Path) -> None:
    scenes = [scene for scene in read_session(file).scene_descriptions if scene.dialog_narration]
    assert scenes
    assert [
        scene.scenario for scene in scenes if not narration_fit(scene.dialog_narration, scene.duration).is_given
    ] == []
