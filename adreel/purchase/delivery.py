"""Delivery of a clip: download from the provider's address, probe of the local file, upload to the storage.

A paid clip is never discarded. It is stored, stored with warnings, or kept aside for a person to decide.
"""

import asyncio
import hashlib
from pathlib import Path
from weakref import WeakKeyDictionary

from adreel.errors import ClipUnavailable, StorageError
from adreel.models.api import ClipWarning
from adreel.models.takes import AsideFile, Clip, ClipRequest, Take, clip_name
from adreel.purchase.download import Arrived, DownloadRules, download
from adreel.purchase.probe.findings import Findings, Measures
from adreel.purchase.probe.process import probe
from adreel.storage import Storage
from adreel.storage.crash_points import crash_point
from adreel.storage.media import HEAD, MP4, PIECE, TEXT, UNKNOWN, file_type, sha256_of

AT_ONCE = 16
SHORTER_SECONDS = 0.5
LONGER_SECONDS = 1.0
OTHER_PIXELS = 16
LARGEST_PAGE = 1024 * 1024
"""Bytes. A longer text is no error page: it may be a clip in an encoding of its own, so it is kept."""
OTHER_SHARE = 0.02

_deliveries: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Interrupted(ClipUnavailable):
    """The downloaded file is truncated; `sha256` is the digest of the received bytes."""

    def __init__(self, message: str, sha256: str = "") -> None:
        super().__init__(message)
        self.sha256 = sha256


def deliveries() -> asyncio.Semaphore:
    """Return what bounds the deliveries of this event loop: each takes a connection, disk and memory, and ends soon."""
    return _deliveries.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))


async def bring_to(folder: Path, take: Take, storage: Storage, rules: DownloadRules) -> Clip | AsideFile:
    """Fetch the clip of a rendered take into a local folder, measure it and draw its poster.

    What an earlier run published before it could say so is fetched from the storage: its address may be dead by now.
    ClipUnavailable if the file did not come whole or is a page instead of a clip.
    """
    path = folder / clip_name(take)
    if arrived := await asyncio.to_thread(_copy_published, storage, path):
        return await _recognise_published(storage, take, path, arrived)
    if aside := await asyncio.to_thread(_published_aside, storage, take):
        return aside
    arrived = await download(take.attempts[-1].url or "", path, rules)
    crash_point("downloaded")
    extension = await asyncio.to_thread(_file_type, path)
    if extension == TEXT and arrived.size <= LARGEST_PAGE:
        raise ClipUnavailable("the clip's address answers with a text or a web page instead of the clip")
    found = Findings(reason=f"it is a .{extension} file, and no MP4")
    if extension in {MP4, UNKNOWN}:
        found = await probe(path, _poster_path(take, path))
    doubt = found.broken_off
    if not (found.measures or arrived.has_length):
        # Neither the server nor the file says how long it is: only a second download can tell that it is whole.
        doubt = doubt or "its length is unknown"
    if doubt and take.attempts[-1].interrupted_sha256 != arrived.sha256:
        raise Interrupted(f"the clip may not have come whole: {doubt}", arrived.sha256)
    if found.measures:
        return _clip(take, path, arrived, found, found.measures)
    file = clip_name(take, f".aside.{extension}")
    path.rename(folder / file)
    reason = f"{found.reason}; {found.broken_off}" if found.broken_off else found.reason
    return AsideFile(file=file, sha256=arrived.sha256, size=arrived.size, reason=reason)


def publish(clip: Clip, folder: Path, storage: Storage) -> None:
    """Put a clip from a local folder into the storage, its poster first; StorageError if another has its name."""
    if clip.poster:
        storage.publish(folder / clip.poster, clip.poster)
        crash_point("poster published")
    _publish(clip, folder, storage)


def publish_aside(aside: AsideFile, folder: Path, storage: Storage) -> None:
    """Store a file that is not a playable MP4, unless it is stored already."""
    if (folder / aside.file).exists():
        _publish(aside, folder, storage)
    crash_point("kept aside")


def _publish(file: Clip | AsideFile, folder: Path, storage: Storage) -> None:
    if not storage.publish(folder / file.file, file.file):
        with storage.open(file.file) as stream:
            if sha256_of(stream) != file.sha256:
                raise _another(storage, file.file)


def _copy_published(storage: Storage, path: Path) -> Arrived | None:
    digest, size = hashlib.sha256(), 0
    try:
        with storage.open(path.name) as source, path.open("wb") as copy:
            while piece := source.read(PIECE):
                digest.update(piece)
                size += copy.write(piece)
    except FileNotFoundError:
        return None
    return Arrived(size, digest.hexdigest())


async def _recognise_published(storage: Storage, take: Take, path: Path, arrived: Arrived) -> Clip:
    # Two runners may have received different bytes. The first published file is the clip.
    known = {take.clip.sha256, *take.attempts[-1].published_sha256} if take.clip else {arrived.sha256}
    if arrived.sha256 not in known:
        raise _another(storage, path.name)
    found = await probe(path, _poster_path(take, path))
    if found.measures is None:
        raise _another(storage, path.name)
    return _clip(take, path, arrived, found, found.measures)


def _published_aside(storage: Storage, take: Take) -> AsideFile | None:
    aside = take.attempts[-1].aside
    if aside is None:
        return None
    try:
        with storage.open(aside.file) as stream:
            if sha256_of(stream) != aside.sha256:
                raise _another(storage, aside.file)
    except FileNotFoundError:
        return None
    return aside


def _file_type(path: Path) -> str:
    with path.open("rb") as stream:
        return file_type(stream.read(HEAD))


def _poster_path(take: Take, path: Path) -> Path:
    return path.with_name(clip_name(take, ".jpg"))


def _clip(take: Take, path: Path, arrived: Arrived, found: Findings, measures: Measures) -> Clip:
    return Clip(
        file=path.name,
        poster=clip_name(take, ".jpg") if measures.has_poster else None,
        sha256=arrived.sha256,
        size=arrived.size,
        duration=round(measures.duration, 3),
        width=measures.width,
        height=measures.height,
        warnings=_warnings(measures, found.broken_off, take.request),
    )


def _warnings(measures: Measures, broken_off: str, asked: ClipRequest) -> list[ClipWarning]:
    found = []
    if broken_off:
        found.append(ClipWarning(code="brokenOff", message=f"{broken_off}; a second download brought the same"))
    if measures.duration < asked.duration - SHORTER_SECONDS or measures.duration > asked.duration + LONGER_SECONDS:
        code = "shorterThanAsked" if measures.duration < asked.duration else "longerThanAsked"
        message = f"it lasts {measures.duration:.2f} s, {asked.duration:g} s were asked for"
        found.append(ClipWarning(code=code, message=message))
    sides = ((measures.width, asked.width), (measures.height, asked.height))
    if any(abs(side - wanted) > max(OTHER_PIXELS, wanted * OTHER_SHARE) for side, wanted in sides):
        size, wanted_size = f"{measures.width}x{measures.height}", f"{asked.width}x{asked.height}"
        found.append(ClipWarning(code="otherSize", message=f"it is {size}, {wanted_size} was asked for"))
    if not measures.has_poster:
        found.append(ClipWarning(code="noPoster", message="no picture could be drawn of it"))
    return found


def _another(storage: Storage, file: str) -> StorageError:
    return StorageError(f"another file is at {storage.location(file)}: move it away, then resume")
