"""Faults of the file itself: files that differ from their order, as real providers and encoders have produced them.

Most of a clip's are made by changing the boxes of the correct MP4. No code of the probe is used.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from random import Random

import av

from adreel.emulator.faults import Point
from adreel.emulator.outputs import Output
from adreel.emulator.sounds import Sound
from adreel.emulator.stills import Still

POINTS = {"clip": Point.CLIP, "voice": Point.SOUND, "music": Point.SOUND, "still": Point.STILL}
"""The point at which the fault of a file is chosen, by the kind of the output."""
SHARES = {"shorterVideo": 0.5, "slightlyShorterVideo": 0.88, "shorterSound": 0.5, "smallerStill": 0.5}
"""Rendered fraction of the ordered length, or of the sides of a still."""
SKIPPED_SECONDS = 2
SKIPPED_SHARE = 0.4
QUARTER_TURN = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
WEBM_SIDE = 160
# One red pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


def odd_output(oddity: str, output: Output) -> Output:
    """Return the output to render under a fault."""
    share = SHARES.get(oddity, 1)
    if isinstance(output, Sound):
        return replace(output, seconds=output.seconds * share, is_silent=oddity == "silentSound")
    if isinstance(output, Still):
        return replace(output, width=max(1, int(output.width * share)), height=max(1, int(output.height * share)))
    return replace(output, frames=max(1, int(output.frames * share)))


def odd_bytes(oddity: str, content: bytes) -> bytes:
    """Return the bytes of a rendered file under a fault."""
    return BYTE_CHANGES.get(oddity, bytes)(content)


def _with_cover(mp4: bytes) -> bytes:
    """Insert a picture into `moov/udta/meta/ilst/covr`, in front of the tracks."""
    data = _box(b"data", struct.pack(">II", 14, 0) + PNG)
    handler = _box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    udta = _box(b"udta", _box(b"meta", bytes(4) + handler + _box(b"ilst", _box(b"covr", data))))
    moov = mp4.index(b"moov") - 4
    end = moov + struct.unpack(">I", mp4[moov : moov + 4])[0]
    tracks = mp4.index(b"trak", moov) - 4
    movie = mp4[moov + 8 : tracks] + udta + mp4[tracks:end]
    if mp4.index(b"mdat") > moov:
        # The media data moves by the length of the inserted box, so every chunk offset does.
        start = movie.find(b"stco")
        while start >= 0:
            count = struct.unpack(">I", movie[start + 8 : start + 12])[0]
            chunks_end = start + 12 + 4 * count
            offsets = (offset + len(udta) for offset in struct.unpack(f">{count}I", movie[start + 12 : chunks_end]))
            movie = movie[: start + 12] + struct.pack(f">{count}I", *offsets) + movie[chunks_end:]
            start = movie.find(b"stco", chunks_end)
    return mp4[:moov] + _box(b"moov", movie) + mp4[end:]


def _with_edit_list(mp4: bytes) -> bytes:
    """Skip the beginning, including its key frame, by the edit list of the video track."""
    start, scale_at = mp4.index(b"elst"), mp4.index(b"mdhd") + 16
    scale, movie_scale = (struct.unpack(">I", mp4[at : at + 4])[0] for at in (scale_at, mp4.index(b"mvhd") + 16))
    length, media_time = struct.unpack(">Ii", mp4[start + 12 : start + 20])
    skipped = min(SKIPPED_SECONDS, length / movie_scale * SKIPPED_SHARE)
    edit = struct.pack(">Ii", int(length - skipped * movie_scale), media_time + int(skipped * scale))
    return mp4[: start + 12] + edit + mp4[start + 20 :]


def _rotated(mp4: bytes) -> bytes:
    start = mp4.index(b"tkhd") + 4 + 40
    return mp4[:start] + QUARTER_TURN + mp4[start + len(QUARTER_TURN) :]


def _as_webm(mp4: bytes) -> bytes:
    target = io.BytesIO()
    with (
        av.open(io.BytesIO(mp4), "r") as source,
        av.open(target, "w", format="webm", options={"fflags": "+bitexact"}) as container,
    ):
        video = source.streams.video[0]
        stream = container.add_stream("libvpx", rate=video.average_rate)
        scale = min(1.0, WEBM_SIDE / max(video.width, video.height))
        stream.width, stream.height = (max(16, int(side * scale) // 2 * 2) for side in (video.width, video.height))
        # The bytes of the "realtime" deadline would depend on the load of the machine.
        stream.pix_fmt, stream.options = "yuv420p", {"deadline": "good", "cpu-used": "5", "threads": "1"}
        for frame in source.decode(video):
            container.mux(stream.encode(frame.reformat(stream.width, stream.height, "yuv420p")))
        container.mux(stream.encode(None))
    return target.getvalue()


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _noise(content: bytes) -> bytes:
    # The same noise every time.
    return Random(len(content)).randbytes(len(content))  # noqa: S311


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


BYTE_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "coverArtFirst": _with_cover,
    "editList": _with_edit_list,
    "rotatedVideo": _rotated,
    "webmBytes": _as_webm,
    "undecodableBytes": _noise,
    "truncatedSound": _truncated,
    "undecodableSound": _noise,
    "truncatedStill": _truncated,
    "undecodableStill": _noise,
}

CLIP_FAULTS = frozenset({*SHARES, *BYTE_CHANGES, "silentSound"})
