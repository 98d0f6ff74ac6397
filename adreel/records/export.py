"""Copies the current files of a session's ad and the current finished ad from any storage to a local folder."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from adreel.errors import StorageError
from adreel.models.parts import Addition, Part
from adreel.records import Records
from adreel.records.views import current_cut, current_take
from adreel.storage.media import CHUNK_BYTES, sha256_of


@dataclass(frozen=True)
class FetchedClip:
    """The local file of a part of an ad, or of the finished ad; None for a scene without a clip."""

    scenario: Part | Literal["cut"]
    file: Path | None
    was_there: bool = False


def fetch(records: Records, session_id: str, folder: Path) -> Iterator[FetchedClip]:
    """Copy the current clip of each scene, what was bought besides, and the current cut, checked by their records.

    Files that are there already stay unchanged.

    Raises StorageError if a clip is missing or changed, or if another file has its name in the folder.
    """
    choices = records.choices(session_id)
    scenes = records.session(session_id).scenarios
    parts: list[Part] = [*scenes]
    parts += [part for part, job_ids in records.take_ids(session_id).items() if job_ids and isinstance(part, Addition)]
    for part in parts:
        take = current_take(records.takes(session_id, part), choices)
        if take and take.clip:
            target = folder / take.clip.file
            yield FetchedClip(part, target, was_there=_fetch_file(records, take.clip.sha256, target))
        elif part in scenes:
            yield FetchedClip(part, None)
    if cut := current_cut(records, session_id):
        for video in cut.files:
            target = folder / video.file
            yield FetchedClip("cut", target, was_there=_fetch_file(records, video.sha256, target))


def _fetch_file(records: Records, sha256: str, target: Path) -> bool:
    """Copy the file of the target's name; whether it was there already."""
    try:
        was_there = target.exists()
        if was_there:
            with target.open("rb") as stream:
                if sha256_of(stream) != sha256:
                    raise StorageError(f"another file is at {target}: move it away, or fetch --to another folder")
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(records, target.name, sha256, target)
    except OSError as error:
        raise StorageError(f"can't write {target}: {error.strerror or error}") from error
    return was_there


def copy_file(records: Records, name: str, sha256: str, target: Path) -> None:
    """Copy a file of the storage to this machine; StorageError if it is missing or not the one that was stored."""
    location = records.storage.location(name)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    digest = hashlib.sha256()
    try:
        try:
            with records.storage.open(name) as source, temporary.open("xb") as copy:
                while piece := source.read(CHUNK_BYTES):
                    digest.update(piece)
                    copy.write(piece)
        except FileNotFoundError:
            raise StorageError(f"{location} is missing: see `adreel verify`") from None
        if digest.hexdigest() != sha256:
            raise StorageError(f"{location} is not what was stored: see `adreel verify`")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
