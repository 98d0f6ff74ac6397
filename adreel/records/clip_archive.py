"""Clip archives: the current clips of an ad under names for people, such as `glowcap-1-hook.mp4`."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from adreel.errors import NotFound, SceneMissing
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.records import Records
from adreel.records.views import current_takes

MAX_NAME = 40


@dataclass(frozen=True)
class ArchivedClip:
    """A clip in the storage, with its name in the archive. `size` in bytes."""

    name: str
    file: str
    size: int
    stored_at: datetime


@dataclass(frozen=True)
class ClipArchive:
    """The current clips of an ad in its order."""

    name: str
    clips: list[ArchivedClip]


def clip_archive(records: Records, session_id: str, *, allow_missing: bool = False) -> ClipArchive:
    """Return the archive of a session. SceneMissing if a scene has no clip, NotFound if a clip's file is gone."""
    session = records.session(session_id)
    takes = current_takes(records, session_id)
    missing = [scenario.value for scenario in Scenario if scenario not in takes]
    if missing and (not takes or not allow_missing):
        raise SceneMissing(
            f"session {session_id!r} has no clip of {', '.join(missing)}: generate it first"
            + (", or ask with allow_missing=true for the clips that there are" if takes else "")
        )
    product, clips = _file_name(session), []
    for number, scenario in enumerate(Scenario, 1):
        take = takes.get(scenario)
        if take is None or take.clip is None:
            continue
        try:
            size = records.storage.size(take.clip.file)
        except FileNotFoundError:
            raise NotFound(
                f"the clip of {scenario}, {take.clip.file}, is gone from the storage: choose another take of the scene"
            ) from None
        clips.append(ArchivedClip(f"{product}-{number}-{scenario}.mp4", take.clip.file, size, take.updated_at))
    return ClipArchive(f"{product}-clips.zip", clips)


def _file_name(session: Session) -> str:
    """Return the name of the product in letters that every system takes, or else the id of the session."""
    plain = unicodedata.normalize("NFKD", session.product_name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_NAME].strip("-")
    return words or session.session_id
