"""Clips as they arrive: what is a whole video of the asked length, and what is not."""

import io
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from adreel.errors import ClipUnavailable
from adreel.media import PIECE, Measures, check_duration, measure, sha256_of
from tests.factories import write_film


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", 3, audio=True)


def test_a_clip_is_measured(film: Path) -> None:
    measured = measure(film)
    assert measured.duration == pytest.approx(3)
    assert (measured.width, measured.height) == (64, 48)


def test_a_clip_without_sound_is_a_clip(tmp_path: Path) -> None:
    assert measure(write_film(tmp_path / "silent.mp4", 1)).duration == pytest.approx(1, abs=0.05)


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(ClipUnavailable, match="no video"):
        measure(write_film(tmp_path / "sound.mp4", 0, video=False, audio=True))


@pytest.mark.parametrize(
    "content",
    [b"", b"<!doctype html><html><body>Gone</body></html>", b'{"error": "gone"}', bytes(5000)],
    ids=["empty", "HTML", "JSON", "zeros"],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(ClipUnavailable, match="no playable video"):
        measure(tmp_path / "clip.mp4")


def test_a_missing_file_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(ClipUnavailable):
        measure(tmp_path / "clip.mp4")


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_a_clip_cut_short_is_refused_though_its_header_promises_all(film: Path, tmp_path: Path, percent: int) -> None:
    whole = film.read_bytes()
    (tmp_path / "clip.mp4").write_bytes(whole[: len(whole) * percent // 100])
    with pytest.raises(ClipUnavailable):
        measure(tmp_path / "clip.mp4")


@pytest.mark.parametrize("kind", ["playlist", "picture"])
def test_only_an_mp4_is_opened(film: Path, tmp_path: Path, kind: str) -> None:
    clip = tmp_path / "clip.mp4"
    if kind == "playlist":
        (tmp_path / "secret.mp4").write_bytes(film.read_bytes())
        clip.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    else:
        Image.new("RGB", (64, 48)).save(clip, "JPEG")
    with pytest.raises(ClipUnavailable):
        measure(clip)


@pytest.mark.parametrize(
    ("seconds", "asked", "good"),
    [(5, 5, True), (4.6, 5, True), (4.4, 5, False), (6, 5, True), (29, 30, True), (28, 30, False), (0, 5, False)],
)
def test_a_clip_may_be_a_little_shorter_than_asked(seconds: float, asked: float, good: bool) -> None:
    measured = Measures(seconds, 64, 48)
    if good:
        check_duration(measured, asked)
    else:
        with pytest.raises(ClipUnavailable, match=rf"lasts {seconds:.2f} s, but {asked:g} s were asked"):
            check_duration(measured, asked)


def test_a_poster_is_a_picture_of_the_clip(film: Path, tmp_path: Path) -> None:
    measure(film, tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as poster:
        assert (poster.format, poster.size) == ("JPEG", (64, 48))


def test_a_clip_of_one_picture_has_a_poster(tmp_path: Path) -> None:
    measure(write_film(tmp_path / "one.mp4", 0.1), tmp_path / "poster.jpg")
    assert (tmp_path / "poster.jpg").stat().st_size


def test_a_clip_that_begins_black_has_a_poster_that_shows_something(tmp_path: Path) -> None:
    measure(write_film(tmp_path / "fade.mp4", 2, black=0.3), tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as poster:
        assert max(poster.convert("L").tobytes()) > 128


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1], ids=["empty", "one byte", "a piece", "more than a piece"])
def test_a_digest_is_that_of_the_whole_file(size: int) -> None:
    assert sha256_of(io.BytesIO(b"x" * size)) == sha256(b"x" * size).hexdigest()
