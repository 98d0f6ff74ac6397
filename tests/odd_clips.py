"""Clips that differ from their order, as providers have delivered them, made by a real muxer."""

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image

RATE = 10
SIZE = (64, 48)


def frames(seconds: float, size: tuple[int, int] = SIZE, *, first: int = 0) -> Iterator[av.VideoFrame]:
    """Yield bright pictures with a brighter left half, which shows a rotation."""
    noise = Random(0)  # noqa: S311 - the same film every time
    for number in range(round(seconds * RATE)):
        picture = Image.new("RGB", size, (200, 30, 30))
        picture.paste((240, 240, 240), (0, 0, size[0] // 2, size[1]))
        for _ in range(40):
            picture.putpixel((noise.randrange(size[0]), noise.randrange(size[1])), tuple(noise.randbytes(3)))
        frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
        frame.pts, frame.time_base = first + number, Fraction(1, RATE)
        yield frame


def add_video(
    container: OutputContainer, codec: str = "libx264", size: tuple[int, int] = SIZE, pix_fmt: str = "yuv420p"
) -> VideoStream:
    stream = cast(VideoStream, container.add_stream(codec, rate=RATE))
    stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
    stream.time_base = Fraction(1, RATE)
    if codec == "libx264":
        # The only key picture comes first, so a later cut has none.
        stream.options = {"preset": "ultrafast", "g": "1000", "bf": "0"}
    return stream


def fill(container: OutputContainer, stream: VideoStream, pictures: Iterator[av.VideoFrame]) -> None:
    for frame in pictures:
        container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
    container.mux(stream.encode(None))


def film(
    path: Path,
    seconds: float = 5,
    *,
    size: tuple[int, int] = SIZE,
    container: str = "mp4",
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    change: Callable[[VideoStream], object] = lambda _: None,
) -> Path:
    options = {"movflags": "+faststart"} if container == "mp4" else {}
    with av.open(str(path), "w", format=container, options=options) as output:
        stream = add_video(output, codec, size, pix_fmt)
        change(stream)
        fill(output, stream, frames(seconds, size))
    return path


def rotated(path: Path, degrees: int = 90) -> Path:
    return film(path, change=lambda stream: stream.set_display_rotation(degrees))


def oblong_pixels(path: Path, aspect: Fraction = Fraction(2)) -> Path:
    def change(stream: VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = aspect

    return film(path, change=change)


def with_thumbnail_first(path: Path) -> Path:
    """Write a track of one picture, and the film behind it."""
    with av.open(str(path), "w", format="mp4") as output:
        thumbnail, stream = add_video(output, "mjpeg", (32, 24), "yuvj420p"), add_video(output)
        fill(output, thumbnail, frames(0.1, (32, 24)))
        fill(output, stream, frames(5))
    return path


def with_cover(path: Path, cover: bytes | None = None) -> Path:
    """Write a film and put cover art into `moov/udta/meta/ilst/covr`, in front of the track as some tools do."""
    content = film(path).read_bytes()
    image = cover if cover is not None else _png()
    data = _box(b"data", struct.pack(">II", 14, 0) + image)
    handler = _box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    udta = _box(b"udta", _box(b"meta", bytes(4) + handler + _box(b"ilst", _box(b"covr", data))))
    path.write_bytes(_insert(content, udta))
    return path


def with_edit_list(path: Path, *, left_out: float = 2) -> Path:
    """Write a film of 7 s whose edit list leaves out the beginning, with the only key picture."""
    content = film(path, 5 + left_out).read_bytes()
    elst, timescale = content.index(b"elst"), _timescale(content, b"mdhd")
    movie = _timescale(content, b"mvhd")
    edit = struct.pack(">II", 5 * movie, int(left_out * timescale))
    path.write_bytes(content[: elst + 12] + edit + content[elst + 20 :])
    return path


def scrambled(path: Path) -> Path:
    """Write a film with an intact index whose pictures are noise and can't be decoded."""
    content = film(path).read_bytes()
    start = content.index(b"mdat") + 4
    noise = Random(0).randbytes(len(content) - start)  # noqa: S311
    path.write_bytes(content[:start] + noise)
    return path


def without_its_parameters(path: Path) -> Path:
    """Have the picture parameters of a film refer to sequence parameters that it does not have."""
    content = path.read_bytes()
    start = content.index(b"avcC") + 4
    length = int.from_bytes(content[start + 6 : start + 8])
    parameters = start + 8 + length + 3
    # The picture parameters begin with their own number and that of the sequence parameters: 0 and 0 are two set bits.
    changed = bytes([content[parameters + 1] & 0x3F])
    path.write_bytes(content[: parameters + 1] + changed + content[parameters + 2 :])
    return path


def patched(path: Path, box: bytes, offset: int, value: bytes) -> Path:
    """Write a film with other bytes at an offset behind a box's name."""
    content = film(path).read_bytes()
    start = content.index(box) + 4 + offset
    path.write_bytes(content[:start] + value + content[start + len(value) :])
    return path


def _png(size: tuple[int, int] = (16, 16)) -> bytes:
    from io import BytesIO

    stream = BytesIO()
    Image.new("RGB", size, (9, 9, 9)).save(stream, "PNG")
    return stream.getvalue()


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _insert(content: bytes, udta: bytes) -> bytes:
    """Put a box into `moov`, in front of its first track, and move all places of the index by its length."""
    moov = content.index(b"moov") - 4
    length = struct.unpack(">I", content[moov : moov + 4])[0]
    track = content.index(b"trak", moov) - 4
    movie = content[moov + 8 : track] + udta + content[track : moov + length]
    stco = movie.index(b"stco")
    count = struct.unpack(">I", movie[stco + 8 : stco + 12])[0]
    places = struct.unpack(f">{count}I", movie[stco + 12 : stco + 12 + 4 * count])
    moved = struct.pack(f">{count}I", *(place + len(udta) for place in places))
    movie = movie[: stco + 12] + moved + movie[stco + 12 + 4 * count :]
    return content[:moov] + _box(b"moov", movie) + content[moov + length :]


def _timescale(content: bytes, box: bytes) -> int:
    start = content.index(box) + 4 + 12
    return int(struct.unpack(">I", content[start : start + 4])[0])
