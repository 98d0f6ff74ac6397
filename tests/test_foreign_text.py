"""Untrusted text: cleaned, bounded, and otherwise unchanged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adreel.errors import AdreelError, StorageError
from adreel.models.takes import Problem
from adreel.text import clean_line, clean_text, is_clean

# Hypothesis leaves surrogates out unless it is asked for them.
texts = st.text(st.characters(exclude_categories=()), max_size=200)


@given(texts, st.integers(1, 60))
def test_any_text_becomes_clean_and_bounded(text: str, most: int) -> None:
    for cleaned in (clean_text(text, most), clean_line(text, most)):
        assert len(cleaned) <= most
        assert is_clean(cleaned)
        json.dumps(cleaned, ensure_ascii=False).encode()
    assert "\n" not in clean_line(text, most)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Größe 👩‍🚀 水\tok\nnext", "Größe 👩‍🚀 水\tok\nnext"),
        ("a\0b", "ab"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x9b31mred", "31mred"),
        ("over\rwritten", "overwritten"),
        ("\u202egpj.exe", "gpj.exe"),
        ("a\u2066b\u2069\u200fc", "abc"),
        ("a\U000e0041b\ufeff", "ab"),
    ],
    ids=ascii,
)
def test_only_what_acts_on_its_reader_is_taken_out(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


def test_a_long_text_is_cut_and_says_so() -> None:
    assert clean_text("x" * 900_000, 100) == "x" * 99 + "…"
    assert clean_text("\0" * 200 + "x", 100) == "x"
    assert clean_text("x" * 100, 100) == "x" * 100


def test_an_error_says_in_clean_words_what_a_server_said() -> None:
    error = StorageError("can't read s3://ads: \x1b[2J\0 bad \ud83d")
    assert str(error) == "can't read s3://ads:  bad \N{REPLACEMENT CHARACTER}"
    assert len(str(AdreelError("x" * 10**6))) == 20_000


def test_a_problem_of_an_unforeseen_error_is_clean_as_well() -> None:
    problem = Problem.of(OSError("no \0 such \udce9"))
    assert "\0" not in problem.message
    problem.model_dump_json()
