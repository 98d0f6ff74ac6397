"""What a finished film of any origin is like: by its packets, one picture and its sound."""

from itertools import pairwise
from pathlib import Path

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import InvalidDataError
from av.video.stream import VideoStream

from adreel.cut.plan import LONGEST_MEASURED, SAMPLE_RATE, FileFacts
from adreel.cut.render.samples import measure
from adreel.cut.render.sources import PictureTags, display_of, file_samples, open_media, picture_stream, sound_stream

HEADER, EXTENDED = 8, 1


def describe_file(file: Path) -> FileFacts:
    """Return the facts of a film; FFmpegError if it can't be read."""
    with open_media(file) as source:
        video, sound = picture_stream(source), sound_stream(source)
        picture = next(source.decode(video), None)
        if picture is None or video.time_base is None:
            raise InvalidDataError(0, "no picture of it can be decoded")
        width, height = display_of(PictureTags.of(video), picture).size(picture.width, picture.height)
        source.seek(0)
        starts, duration, audio_bytes, audio_duration = _read_packets(source, video, sound)
        steps = [after - before for before, after in pairwise(starts)]
        size = file.stat().st_size
        loudness = None
        if sound and audio_duration <= LONGEST_MEASURED:
            loudness = measure(file_samples(file, LONGEST_MEASURED * SAMPLE_RATE))
        return FileFacts(
            container=source.format.name,
            size=size,
            width=round(width),
            height=round(height),
            duration=round(duration, 3),
            rate=round(len(starts) / duration, 3) if duration else 0.0,
            # Times are rounded to the stream's unit.
            is_constant=not steps or max(steps) - min(steps) <= 1,
            video_codec=video.codec_context.codec.canonical_name,
            profile=video.codec_context.profile or "",
            pixel_format=video.pix_fmt or "",
            bit_rate=round(size * 8 / duration) if duration else 0,
            audio_codec=sound.codec_context.codec.canonical_name if sound else None,
            audio_duration=round(audio_duration, 3),
            audio_bit_rate=round(audio_bytes * 8 / audio_duration) if audio_duration else 0,
            sample_rate=sound.codec_context.sample_rate if sound else 0,
            index_first=_index_first(file),
            loudness=round(loudness.integrated, 2) if loudness and not loudness.is_silent else None,
            true_peak=round(loudness.peak, 2) if loudness and not loudness.is_silent else None,
        )


def _read_packets(
    source: InputContainer, video: VideoStream, sound: AudioStream | None
) -> tuple[list[int], float, int, float]:
    """Return the sorted times of the pictures and their seconds, and the bytes and seconds of the sound."""
    starts, until = [], 0
    audio_bytes, audio_from, audio_until = 0, 0.0, 0.0
    for packet in source.demux([each for each in (video, sound) if each is not None]):
        if packet.pts is None or not packet.size or packet.is_discard:
            continue
        end = packet.pts + (packet.duration or 0)
        if packet.stream.type == "video":
            starts.append(packet.pts)
            until = max(until, end)
        else:
            start = float(packet.pts * packet.time_base)
            audio_from = min(audio_from, start) if audio_bytes else start
            audio_until = max(audio_until, float(end * packet.time_base))
            audio_bytes += packet.size
    if not starts or video.time_base is None:
        raise InvalidDataError(0, "it has no picture in it")
    starts.sort()
    return starts, float((until - starts[0]) * video.time_base), audio_bytes, audio_until - audio_from


def _index_first(file: Path) -> bool:
    """Whether the index of an MP4 file stands before its media."""
    size, position = file.stat().st_size, 0
    with file.open("rb") as stream:
        while position < size:
            stream.seek(position)
            header = stream.read(HEADER)
            length, kind = int.from_bytes(header[:4]), header[4:]
            if kind in {b"moov", b"mdat"}:
                return kind == b"moov"
            if length == EXTENDED:
                length = int.from_bytes(stream.read(HEADER))
            if length < HEADER:
                return False
            position += length
    return False
