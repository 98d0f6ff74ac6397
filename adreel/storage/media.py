"""File types by magic numbers, and SHA-256 digests."""

import hashlib
from typing import BinaryIO

CHUNK_BYTES = 1024 * 1024
HEAD_BYTES = 4096
"""Number of leading bytes that detecting a file type needs."""

TEXT = "txt"
UNKNOWN = "bin"
MP4 = "mp4"
FLAC = "flac"
JPG = "jpg"
_MP4_BOXES = set(b"ftyp styp moov moof mdat free skip wide pnot uuid sidx meta".split())
_MAGIC = {
    b"\x1a\x45\xdf\xa3": "mkv",
    b"GIF8": "gif",
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": JPG,
    b"fLaC": FLAC,
    b"ID3": "mp3",
    b"\xff\xfb": "mp3",
    b"\xff\xf3": "mp3",
    b"OggS": "ogv",
    b"FLV\x01": "flv",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "wmv",
    b"\x00\x00\x01\xba": "mpg",
    b"\x1f\x8b": "gz",
    b"PK\x03\x04": "zip",
}
_RIFF = {b"AVI ": "avi", b"WEBP": "webp", b"WAVE": "wav"}
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8"}
_SPACES = "\t\n\r\f"


def file_type(head: bytes) -> str:
    """Return the file extension for the first HEAD_BYTES bytes: TEXT for text or a web page, UNKNOWN for others."""
    if head[4:8] in _MP4_BOXES:
        return MP4
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    for magic, extension in _MAGIC.items():
        if head.startswith(magic):
            return "webm" if extension == "mkv" and b"webm" in head[:128] else extension
    if head[:1] == head[188:189] == head[376:377] == b"G":
        return "ts"
    return TEXT if _is_text(head) else UNKNOWN


def sha256_of(stream: BinaryIO) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    while piece := stream.read(CHUNK_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _is_text(head: bytes) -> bool:
    encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), "utf-8")
    for cut in range(4):  # The last character may be cut by the end of the head.
        try:
            text = head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError:
            continue
        return all(character >= " " or character in _SPACES for character in text)
    return False
