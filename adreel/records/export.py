"""Copies the current clips of a session from any storage to a local folder."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from adreel.errors import StorageError
from adreel.models.scenarios import Scenario
from adreel.models.takes import Clip
from adreel.records import Records
from adreel.records.views import current_take
from adreel.storage.media import CHUNK_BYTES, sha256_of


@dataclass(frozen=True)
class FetchedClip:
    """The local file of a scene's clip; None without a clip."""

    scenario: Scenario
    file: Path | None
    was_there: bool = False


def fetch(records: Records, session_id: str, folder: Path) -> Iterator[FetchedClip]:
    """Copy the current clip of each scene, checked against its record. Files that are there already stay unchanged.

    Raises StorageError if a clip is missing or changed, or if another file has its name in the folder.
    """
    choices = records.choices(session_id)
    for scenario in records.session(session_id).scenarios:
        take = current_take(records.takes(session_id, scenario), choices)
        if take is None or take.clip is None:
            yield FetchedClip(scenario, None)
            continue
        target = folder / take.clip.file
        try:
            was_there = target.exists()
            if was_there:
                with target.open("rb") as stream:
                    if sha256_of(stream) != take.clip.sha256:
                        raise StorageError(f"another file is at {target}: move it away, or fetch --to another folder")
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(records, take.clip, target)
        except OSError as error:
            raise StorageError(f"can't write {target}: {error.strerror or error}") from error
        yield FetchedClip(scenario, target, was_there=was_there)


def _copy(records: Records, clip: Clip, target: Path) -> None:
    location = records.storage.location(clip.file)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    digest = hashlib.sha256()
    try:
        try:
            with records.storage.open(clip.file) as source, temporary.open("xb") as copy:
                while piece := source.read(CHUNK_BYTES):
                    digest.update(piece)
                    copy.write(piece)
        except FileNotFoundError:
            raise StorageError(f"{location} is missing: see `adreel verify`") from None
        if digest.hexdigest() != clip.sha256:
            raise StorageError(f"{location} is not what was stored: see `adreel verify`")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
