"""The last part of a clip's way: from the provider's address, by a local file that is looked into, to the storage."""

import asyncio
import hashlib
from pathlib import Path
from weakref import WeakKeyDictionary

from adreel.crash_points import crash_point
from adreel.downloads import Arrived, DownloadRules, download
from adreel.errors import ClipUnavailable, StorageError
from adreel.media import PIECE, check_duration, measure, sha256_of
from adreel.storage import Storage
from adreel.takes import Clip, Take, clip_name

AT_ONCE = 16

_deliveries: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def deliveries() -> asyncio.Semaphore:
    """Return what bounds the deliveries of this event loop: each takes a connection, disk and memory, and ends soon."""
    return _deliveries.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))


async def bring_to(folder: Path, take: Take, storage: Storage, rules: DownloadRules) -> Clip:
    """Fetch the clip of a rendered take into a local folder, measure it and draw its poster.

    What an earlier run published before it could say so is fetched from the storage: its address may be dead by now.
    """
    path = folder / clip_name(take)
    if arrived := await asyncio.to_thread(_copy_published, storage, path):
        return await asyncio.to_thread(_look_into_published, storage, take, path, arrived)
    arrived = await download(take.attempts[-1].url or "", path, rules)
    crash_point("downloaded")
    return await asyncio.to_thread(_look_into, take, path, arrived)


def publish(clip: Clip, folder: Path, storage: Storage) -> None:
    """Put a clip from a local folder into the storage, its poster first; StorageError if another has its name."""
    storage.publish(folder / clip.poster, clip.poster)
    crash_point("poster published")
    if not storage.publish(folder / clip.file, clip.file):
        with storage.open(clip.file) as stream:
            if sha256_of(stream) != clip.sha256:
                raise _another(storage, clip.file)


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


def _look_into_published(storage: Storage, take: Take, path: Path, arrived: Arrived) -> Clip:
    if take.clip and take.clip.sha256 != arrived.sha256:
        raise _another(storage, path.name)
    try:
        return _look_into(take, path, arrived)
    except ClipUnavailable:
        raise _another(storage, path.name) from None


def _look_into(take: Take, path: Path, arrived: Arrived) -> Clip:
    poster = path.with_name(clip_name(take, ".jpg"))
    measured = measure(path, poster)
    check_duration(measured, take.request.duration)
    return Clip(
        file=path.name,
        poster=poster.name,
        sha256=arrived.sha256,
        size=arrived.size,
        duration=round(measured.duration, 3),
        width=measured.width,
        height=measured.height,
    )


def _another(storage: Storage, file: str) -> StorageError:
    return StorageError(f"another file is at {storage.location(file)}: move it away, then resume")
