"""Posters of stored clips, drawn after the clip is stored or when one is first asked for.

A clip is complete without its poster. If no picture of it can be decoded, its record gets a warning.
"""

import logging
import re
import shutil
from contextlib import suppress
from pathlib import Path

from adreel.errors import ClipUnavailable, NotFound, StorageError
from adreel.models.api import ClipWarning
from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.purchase.probe.process import draw, draw_now
from adreel.records import Records
from adreel.records.threads import transfer
from adreel.storage.crash_points import crash_point

POSTER_NAME = re.compile(rf"([A-Za-z0-9_-]{{1,64}})_({'|'.join(Scenario)})_[0-9a-f]{{8}}\.jpg")

log = logging.getLogger("adreel.jobs")


async def store_poster(records: Records, take: Take, folder: Path) -> Take:
    """Draw the poster of a stored take whose clip is still in a local folder, and return the take.

    Never fails: a poster that can't be drawn or published now is drawn when it is asked for.
    """
    if take.clip is None or take.clip.poster is None:
        return take
    try:
        reason = await draw(folder / take.clip.file, folder / take.clip.poster)
        return await transfer(_record, records, take, folder, reason)
    except (ClipUnavailable, StorageError, NotFound) as error:
        log.info("the poster of %s is not drawn now: %s", take.clip.file, error)
        return take


def draw_missing_poster(records: Records, name: str) -> bool:
    """Draw and publish the poster of that file name; False if no stored clip has such a poster.

    Raises ClipUnavailable if the probe can't run now, and StorageError if the storage fails.
    """
    if not (parts := POSTER_NAME.fullmatch(name)):
        return False
    takes = records.takes(parts[1], Scenario(parts[2]))
    take = next((take for take in takes if take.is_stored and take.clip and take.clip.poster == name), None)
    if take is None or take.clip is None:
        return False
    storage, clip = records.storage, take.clip.file
    with storage.workspace() as folder:
        try:
            with storage.open(clip) as source, (folder / clip).open("wb") as copy:
                shutil.copyfileobj(source, copy)
        except FileNotFoundError:
            return False
        with suppress(NotFound):
            take = _record(records, take, folder, draw_now(folder / clip, folder / name))
    if not storage.exists(clip):
        # The take was pruned meanwhile.
        storage.remove(name)
        return False
    return take.clip is not None and take.clip.poster == name


def _record(records: Records, take: Take, folder: Path, reason: str) -> Take:
    """Publish a drawn poster, or record why there is none. NotFound if the take was removed meanwhile."""
    assert take.clip is not None  # noqa: S101 - both callers have checked it
    assert take.clip.poster is not None  # noqa: S101
    if not reason:
        records.storage.publish(folder / take.clip.poster, take.clip.poster)
        crash_point("poster published")
        return take
    warning = ClipWarning(code="noPoster", message=f"no poster could be made: {reason}")
    clip = take.clip.model_copy(update={"poster": None, "warnings": [*take.clip.warnings, warning]})
    warned = take.model_copy(update={"clip": clip})
    return records.update_take(warned, lambda latest: latest.clip != take.clip, must_exist=True)
