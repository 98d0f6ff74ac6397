"""Brings the current clips of a session from any storage to a folder of this machine."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from adreel.errors import StorageError
from adreel.models.scenarios import Scenario
from adreel.models.takes import Clip
from adreel.records import Records
from adreel.records.views import current_take
from adreel.storage.media import sha256_of

PIECE = 1024 * 1024


@dataclass(frozen=True)
class Fetched:
    """Result of a scene: the location of its clip, None without a clip."""

    scenario: Scenario
    file: Path | None
    was_there: bool = False


def fetch(records: Records, session_id: str, folder: Path) -> Iterator[Fetched]:
    """Copy the current clip of each scene, checked against its record; what is there already is left as it is.

    Raises StorageError if a clip is missing or changed, or if another file has its name in the folder.
    """
    choices = records.choices(session_id)
    for scenario in records.session(session_id).scenarios:
        take = current_take(records.takes(session_id, scenario), choices)
        if take is None or take.clip is None:
            yield Fetched(scenario, None)
            continue
        target = folder / take.clip.file
        yield Fetched(scenario, target, was_there=_bring(records, take.clip, target))


def _bring(records: Records, clip: Clip, target: Path) -> bool:
    try:
        if target.exists():
            _check_same(clip, target)
            return True
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(records, clip, target)
    except OSError as error:
        raise StorageError(f"can't write {target}: {error.strerror or error}") from error
    return False


def _check_same(clip: Clip, target: Path) -> None:
    with target.open("rb") as stream:
        if sha256_of(stream) != clip.sha256:
            raise StorageError(f"another file is at {target}: move it away, or fetch --to another folder")


def _copy(records: Records, clip: Clip, target: Path) -> None:
    location = records.storage.location(clip.file)
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        try:
            with records.storage.open(clip.file) as source, temporary.open("xb") as copy:
                digest = _pass_on(source, copy)
        except FileNotFoundError:
            raise StorageError(f"{location} is missing: see `adreel verify`") from None
        if digest != clip.sha256:
            raise StorageError(f"{location} is not what was stored: see `adreel verify`")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _pass_on(source: BinaryIO, copy: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := source.read(PIECE):
        digest.update(piece)
        copy.write(piece)
    return digest.hexdigest()
