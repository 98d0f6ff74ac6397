"""File types by their first bytes, and digests."""

import gzip
import io
from hashlib import sha256

import pytest

from adreel.storage.media import CHUNK_BYTES, MP4, TEXT, UNKNOWN, file_type, sha256_of

PAGE = "<!doctype html><html><body>Größe: this link has expired</body></html>"


@pytest.mark.parametrize(
    "content",
    [
        PAGE.encode(),
        PAGE.encode("utf-8-sig"),
        PAGE.encode("utf-16"),
        b'\n  {"error": "gone"}',
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        b"ffconcat version 1.0\nfile secret.mp4\n",
        ("ä" * 3000).encode()[:4095],
    ],
    ids=["HTML", "with BOM", "UTF-16", "JSON", "XML", "playlist", "cut in a letter"],
)
def test_a_page_is_no_clip(content: bytes) -> None:
    assert file_type(content) == TEXT


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\0\0\0\x20ftypisom", MP4),
        (b"\0\0\0\x14ftypqt  ", MP4),
        (b"\0\0\1\0moov", MP4),
        (b"\x1a\x45\xdf\xa3\x42\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\x42\x82\x88matroska", "mkv"),
        (b"GIF89a", "gif"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"G" + bytes(187) + b"G" + bytes(187) + b"G", "ts"),
        (gzip.compress(PAGE.encode(), mtime=0), "gz"),
        (bytes(5000), UNKNOWN),
        (bytes(range(128, 256)), UNKNOWN),
        (b"{\0}", UNKNOWN),
    ],
)
def test_a_file_is_known_by_its_first_bytes(content: bytes, expected: str) -> None:
    assert file_type(content) == expected


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1], ids=["empty", "one byte", "a piece", "more than a piece"]
)
def test_a_digest_is_that_of_the_whole_file(size: int) -> None:
    assert sha256_of(io.BytesIO(b"x" * size)) == sha256(b"x" * size).hexdigest()
