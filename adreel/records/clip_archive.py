"""Clip archives: the current clips, voices and music of an ad under names for people.

Such as `glowcap-1-hook.mp4`, `glowcap-1-hook-voice.flac` and `glowcap-music.flac`.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from adreel.errors import NotFound, SceneMissing
from adreel.models.parts import VOICES, Addition, Part, label_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.records import Records
from adreel.records.views import current_takes

MAX_NAME = 40


@dataclass(frozen=True)
class ArchivedClip:
    """A clip, a voice or music in the storage, with its name in the archive. `size` in bytes."""

    name: str
    file: str
    size: int
    stored_at: datetime


@dataclass(frozen=True)
class ClipArchive:
    """The current clips of an ad in its order, each before its voice, and the music."""

    name: str
    clips: list[ArchivedClip]


def clip_archive(records: Records, session_id: str, *, allow_missing: bool = False) -> ClipArchive:
    """Return the archive of a session. SceneMissing if a scene has no clip, NotFound if a file is gone."""
    session = records.session(session_id)
    takes = current_takes(records, session_id)
    scenes = [scenario for scenario in Scenario if scenario in takes]
    missing = [scenario.value for scenario in Scenario if scenario not in takes]
    if missing and (not scenes or not allow_missing):
        raise SceneMissing(
            f"session {session_id!r} has no clip of {', '.join(missing)}: generate it first"
            + (", or ask with allow_missing=true for the clips that there are" if scenes else "")
        )
    product, clips = _file_name(session), []
    names: dict[Part, str] = {}
    for number, scenario in enumerate(Scenario, 1):
        names[scenario] = f"{number}-{scenario}.mp4"
        if scenario in takes:
            names[VOICES[scenario]] = f"{number}-{scenario}-voice.flac"
    names[Addition.MUSIC] = "music.flac"
    for part, name in names.items():
        take = takes.get(part)
        if take is None or take.clip is None:
            continue
        try:
            size = records.storage.size(take.clip.file)
        except FileNotFoundError:
            what = f"clip of {part}" if part in scenes else label_of(part)
            raise NotFound(
                f"the {what}, {take.clip.file}, is gone from the storage: choose another take of it"
            ) from None
        clips.append(ArchivedClip(f"{product}-{name}", take.clip.file, size, take.updated_at))
    return ClipArchive(f"{product}-clips.zip", clips)


def _file_name(session: Session) -> str:
    """Return the name of the product in letters that every system takes, or else the id of the session."""
    plain = unicodedata.normalize("NFKD", session.product_name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_NAME].strip("-")
    return words or session.session_id
