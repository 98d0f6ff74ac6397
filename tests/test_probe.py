"""The probe: decodable videos, their measures, and their posters."""

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import pytest
from PIL import Image

from adreel.purchase.probe import decoding
from adreel.purchase.probe.decoding import draw_poster, inspect_clip
from adreel.purchase.probe.findings import Findings
from adreel.purchase.probe.h264 import coded_size, is_key_picture
from tests import odd_clips
from tests.factories import write_film


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", 3, audio=True)


def looked(clip: Path) -> Findings:
    """Measure a clip and draw its poster, which is possible only if the clip has measures."""
    findings = inspect_clip(clip)
    reason = draw_poster(clip, clip.with_suffix(".jpg"))
    assert bool(findings.measures) == (not reason)
    return findings


def measured(clip: Path) -> tuple[float, int, int]:
    findings = looked(clip)
    assert findings.measures, findings.reason
    assert findings.truncation == ""
    return round(findings.measures.duration, 2), findings.measures.width, findings.measures.height


def poster(clip: Path) -> Image.Image:
    with Image.open(clip.with_suffix(".jpg")) as picture:
        picture.load()
        return picture


def is_bright(picture: Image.Image, x: float, y: float) -> bool:
    pixel = picture.convert("L").getpixel((int(picture.width * x), int(picture.height * y)))
    assert isinstance(pixel, int)
    return pixel > 160


def test_a_clip_is_measured_and_has_a_poster(tmp_path: Path) -> None:
    clip = odd_clips.film(tmp_path / "clip.mp4")
    assert measured(clip) == (5, 64, 48)
    assert (poster(clip).format, poster(clip).size) == ("JPEG", (64, 48))


def test_a_clip_without_sound_is_a_clip(tmp_path: Path) -> None:
    assert measured(write_film(tmp_path / "silent.mp4", 1)) == (1, 64, 48)


def test_a_clip_of_one_picture_has_a_poster(tmp_path: Path) -> None:
    clip = write_film(tmp_path / "one.mp4", 0.1)
    assert measured(clip) == (0.1, 64, 48)
    assert poster(clip)


def test_a_clip_that_begins_black_has_a_poster_that_shows_something(tmp_path: Path) -> None:
    clip = write_film(tmp_path / "fade.mp4", 2, black=0.3)
    measured(clip)
    assert max(poster(clip).convert("L").tobytes()) > 128


def test_cover_art_is_not_the_clip(tmp_path: Path) -> None:
    assert measured(odd_clips.with_cover(tmp_path / "clip.mp4")) == (5, 64, 48)


def test_a_thumbnail_track_is_not_the_clip(tmp_path: Path) -> None:
    assert measured(odd_clips.with_thumbnail_first(tmp_path / "clip.mp4")) == (5, 64, 48)


def test_an_edit_list_may_leave_the_key_picture_out(tmp_path: Path) -> None:
    clip = odd_clips.with_edit_list(tmp_path / "clip.mp4")
    assert measured(clip) == (5, 64, 48)
    assert poster(clip)


@pytest.mark.parametrize(
    ("degrees", "size", "bright"),
    [(90, (48, 64), (0.5, 0.9)), (180, (64, 48), (0.9, 0.5)), (270, (48, 64), (0.5, 0.1)), (0, (64, 48), (0.1, 0.5))],
)
def test_a_rotated_clip_is_measured_upright(
    tmp_path: Path, degrees: int, size: tuple[int, int], bright: tuple[float, float]
) -> None:
    clip = odd_clips.rotated(tmp_path / "clip.mp4", degrees)
    assert measured(clip) == (5, *size)
    assert poster(clip).size == size
    assert is_bright(poster(clip), *bright)
    assert not is_bright(poster(clip), 1 - bright[0] - 0.01, 1 - bright[1] - 0.01) or bright[0] == bright[1]


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(2), 128), (Fraction(1, 2), 32), (Fraction(4, 3), 85)])
def test_oblong_pixels_are_measured_as_they_are_shown(tmp_path: Path, aspect: Fraction, width: int) -> None:
    clip = odd_clips.oblong_pixels(tmp_path / "clip.mp4", aspect)
    assert measured(clip) == (5, width, 48)
    assert poster(clip).size == (width, 48)


def test_an_absurd_shape_of_pixels_is_passed_over(tmp_path: Path) -> None:
    assert measured(odd_clips.oblong_pixels(tmp_path / "clip.mp4", Fraction(1000))) == (5, 64, 48)


@pytest.mark.parametrize("percent", [1, 10, 50, 90, 99])
def test_a_file_that_breaks_off_says_so_though_its_header_promises_all(
    whole: Path, tmp_path: Path, percent: int
) -> None:
    content = whole.read_bytes()
    (tmp_path / "clip.mp4").write_bytes(content[: len(content) * percent // 100])
    assert "breaks off" in inspect_clip(tmp_path / "clip.mp4").truncation


def test_a_file_that_breaks_off_between_its_boxes_says_so(tmp_path: Path) -> None:
    content = odd_clips.film(tmp_path / "whole.mp4").read_bytes()
    data = content.index(b"mdat") - 4
    (tmp_path / "clip.mp4").write_bytes(content[:data])
    assert "bytes more than arrived" in inspect_clip(tmp_path / "clip.mp4").truncation
    moov = content.index(b"moov") - 4
    (tmp_path / "late.mp4").write_bytes(content[:moov] + content[data:])
    assert "before its index" in inspect_clip(tmp_path / "late.mp4").truncation


def test_the_pictures_that_came_are_measured(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    (tmp_path / "clip.mp4").write_bytes(content[: len(content) // 2])
    findings = inspect_clip(tmp_path / "clip.mp4")
    assert findings.measures
    assert 1 < findings.measures.duration < 2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("webm", {"container": "webm", "codec": "libvpx"}),
        ("mkv", {"container": "matroska"}),
        ("gif", {"container": "gif", "codec": "gif", "pix_fmt": "rgb8"}),
    ],
)
def test_another_container_is_not_decoded(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    findings = looked(odd_clips.film(tmp_path / name, 1, **options))  # type: ignore[arg-type]
    assert findings.measures is None
    assert "can't be decoded" in findings.reason
    assert str(tmp_path) not in findings.reason


@pytest.mark.parametrize("content", [b"", bytes(5000), b"ftyp" * 2000], ids=["empty", "zeros", "no box"])
def test_what_is_no_video_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    assert looked(tmp_path / "clip.mp4").measures is None
    assert looked(tmp_path / "clip.mp4").reason


def test_pictures_of_noise_are_no_video(tmp_path: Path) -> None:
    findings = looked(odd_clips.scrambled(tmp_path / "clip.mp4"))
    assert (findings.measures, findings.truncation) == (None, "")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    assert "no video" in looked(write_film(tmp_path / "clip.mp4", 0, video=False, audio=True)).reason


def test_an_unknown_coding_is_no_video(tmp_path: Path) -> None:
    assert looked(odd_clips.patched(tmp_path / "clip.mp4", b"stsd", 12, b"zzzz")).measures is None


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("size", [(64, 48), (270, 270), (1280, 720), (720, 1280)])
def test_the_usual_clip_is_measured_without_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], sound: bool
) -> None:
    clip = tmp_path / "clip.mp4"
    if size == (64, 48):
        write_film(clip, 2, audio=sound)
    else:
        odd_clips.film(clip, 0.5, size=size)
    by_decoding = measured_by_decoding(clip)
    monkeypatch.setattr(decoding, "_first_picture", None)
    assert inspect_clip(clip) == by_decoding


@pytest.mark.parametrize(
    "make",
    [
        odd_clips.with_cover,
        odd_clips.with_thumbnail_first,
        odd_clips.with_edit_list,
        odd_clips.rotated,
        odd_clips.oblong_pixels,
        odd_clips.scrambled,
        lambda path: odd_clips.film(path, codec="mpeg4"),
        lambda path: odd_clips.film(path, pix_fmt="yuv444p"),
        lambda path: odd_clips.patched(path, b"avc1\0", 23, struct.pack(">HH", 640, 480)),
        lambda path: odd_clips.patched(path, b"avcC", 5, b"\xe0"),
        lambda path: odd_clips.patched(path, b"avcC", 20, bytes(200)),
        lambda path: odd_clips.patched(path, b"stss", 8, struct.pack(">I", 2)),
    ],
    ids=[
        *("cover", "thumbnail", "edit list", "rotated", "oblong", "noise", "another codec", "another format"),
        *("another size in the header", "no parameters", "torn parameters", "no key picture"),
    ],
)
def test_any_other_clip_is_measured_as_if_it_were_decoded(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    clip = make(tmp_path / "clip.mp4")
    assert inspect_clip(clip) == measured_by_decoding(clip)


@pytest.mark.parametrize("seed", range(40))
def test_no_bytes_confuse_the_tables(whole: Path, seed: int) -> None:
    dice = Random(seed)  # noqa: S311 - the same bytes every time
    content = whole.read_bytes()
    start = content.index(b"avcC") + 4
    configuration = content[start : start + 60]
    sample = content[content.index(b"mdat") + 4 :][:4000]
    for original in (configuration, sample):
        damaged = bytearray(original)
        for _ in range(dice.randint(1, 8)):
            damaged[dice.randrange(min(60, len(damaged)))] = dice.randrange(256)
        size = coded_size(bytes(damaged))
        assert size is None or len(size) == 2
        assert is_key_picture(configuration, bytes(damaged)) in {True, False}
        assert not is_key_picture(configuration, dice.randbytes(4000))


def measured_by_decoding(clip: Path) -> Findings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_is_plain", lambda *_: False)
        return inspect_clip(clip)


def test_only_an_mp4_is_opened(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(whole.read_bytes())
    (tmp_path / "clip.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    assert looked(tmp_path / "clip.mp4").measures is None


def test_a_missing_file_is_no_verdict_about_a_clip(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect_clip(tmp_path / "clip.mp4")


def test_a_poster_that_can_t_be_written_is_no_verdict_about_a_clip(tmp_path: Path) -> None:
    clip = odd_clips.film(tmp_path / "clip.mp4")
    with pytest.raises(FileNotFoundError):
        draw_poster(clip, tmp_path / "no such folder" / "poster.jpg")
    assert inspect_clip(clip).measures


@pytest.mark.parametrize(
    ("box", "offset", "value"),
    [
        (b"mdhd", 12, bytes(4)),
        (b"mdhd", 16, b"\xff" * 4),
        (b"mvhd", 12, bytes(4)),
        (b"stts", 8, b"\0\0\0\x32" + b"\xff" * 4),
        (b"tkhd", 76, b"\xff" * 8),
        (b"tkhd", 40, bytes(36)),
        (b"elst", 8, b"\xff" * 12),
    ],
    ids=["no scale", "endless media", "no movie scale", "endless pictures", "size", "matrix of zeros", "edit"],
)
def test_an_absurd_header_ends_in_finite_measures_or_a_reason(
    tmp_path: Path, box: bytes, offset: int, value: bytes
) -> None:
    findings = looked(odd_clips.patched(tmp_path / "clip.mp4", box, offset, value))
    if findings.measures:
        assert 0 <= findings.measures.duration < 10**12
        assert 0 < findings.measures.width < 2**16
    else:
        assert findings.reason


def png_film(path: Path, side: int, said: int) -> Path:
    """Write an MP4 of one PNG picture of zeros, whose header may say another size."""
    row, packed = b"\0" + bytes(side // 8), zlib.compressobj(9)
    data = b"".join(packed.compress(row) for _ in range(side)) + packed.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    with av.open(str(path), "w", format="mp4") as output:
        stream = odd_clips.add_video(output, "png", (said, said), "monob")
        packet = av.Packet(picture)
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 10)
        packet.is_keyframe = True
        output.mux(packet)
    return path


@pytest.mark.parametrize(
    ("side", "said"), [(16_000, 16_000), (40_000, 64)], ids=["said in the header", "said by the picture alone"]
)
def test_a_picture_that_would_take_gigabytes_is_not_decoded(tmp_path: Path, side: int, said: int) -> None:
    clip = png_film(tmp_path / "clip.mp4", side, said)
    assert clip.stat().st_size < 1_000_000
    assert looked(clip).measures is None


def test_a_huge_cover_does_not_keep_a_clip_from_being_one(tmp_path: Path) -> None:
    png = png_film(tmp_path / "png.mp4", 40_000, 64).read_bytes()
    cover = png[png.index(b"\x89PNG") : png.index(b"IEND") + 8]
    assert measured(odd_clips.with_cover(tmp_path / "clip.mp4", cover)) == (5, 64, 48)
