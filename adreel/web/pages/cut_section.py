"""The finished ad on the page of a session: its files by format, an ad that is being made, and the buttons."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from adreel.errors import NotFound, PrefectUnreachable
from adreel.models.api import CutStatus, State
from adreel.models.cut_settings import SIZES, CutOptions, Format
from adreel.models.cuts import CUT_FAILED, CutFileView, CutView
from adreel.models.scenarios import Scenario
from adreel.models.takes import utc_now
from adreel.records import Records
from adreel.service import Service, reason_of
from adreel.web.pages.boards import Board

CUT_STEPS = (
    (100, "Finished"),
    (95, "Being stored"),
    (60, "Joining the scenes, checking the file"),
    (1, "Rendering the scenes"),
    (0, "Waiting to start"),
)
AFTER_CLIPS = timedelta(minutes=15)
"""How long after its last clip the run of a job may be making the ad."""

log = logging.getLogger("adreel.storyboard")


@dataclass(frozen=True)
class CutTab:
    """The newest file of a format: a current one, if there is any."""

    file: CutFileView
    cut: CutView

    @property
    def poster(self) -> str:
        """File name of its first clip's poster: the page has it already, and that of the finished ad has its size."""
        return self.cut.inputs[0].file.removesuffix(".mp4") + ".jpg"

    @property
    def is_stale(self) -> bool:
        """Whether a clip or a setting has changed since."""
        return self.cut.state == "stale"


@dataclass(frozen=True)
class CutSection:
    """The finished ads of a session as its page shows them."""

    tabs: list[CutTab] = field(default_factory=list)
    """The newest ad first."""
    making: CutStatus | None = None
    is_polled: bool = False
    """Whether the run of a job whose clips are stored may be making the ad, so that no event tells its progress."""
    error: str = ""
    can_make: bool = False

    @property
    def stale(self) -> list[CutTab]:
        """The files that the present clips and settings do not make."""
        return [tab for tab in self.tabs if tab.is_stale]

    @property
    def other_formats(self) -> list[Format]:
        """The formats that have no current file."""
        made = {tab.file.format for tab in self.tabs if not tab.is_stale}
        return [each for each in SIZES if each not in made]

    @property
    def step(self) -> str:
        """What is being done, in words."""
        if self.making is None:
            return ""
        if self.making.step.startswith("waits"):
            return self.making.step.capitalize()
        progress = self.making.progress
        return next(name for least, name in CUT_STEPS if progress >= least)


async def read_cut_section(service: Service, board: Board) -> CutSection:
    """Return the finished ads of the session of a board."""
    if board.cuts is None:
        return CutSection(error="A finished ad can't be read: see the server's log.")
    tabs = _tabs(board.cuts)
    current = {scene.scenario for scene in board.scenes if scene.current}
    can_make = current == set(Scenario) and not any(part.is_busy for part in board.parts)
    if making := next((status.cut for status in board.followed.running if status.cut), None):
        return CutSection(tabs, making)
    failed = [status.cut.error for status in board.followed.unrecorded if status.cut and status.cut.error]
    if failed or not can_make or (tabs and not tabs[0].is_stale):
        error = f"The ad could not be made: {failed[-1]}" if failed else ""
        return CutSection(tabs, error=error, can_make=can_make)
    try:
        making, error = await _cut_of_job(service, board)
    except PrefectUnreachable as unreachable:
        log.warning("%s", unreachable)
        return CutSection(tabs, is_polled=True, can_make=True)
    return CutSection(tabs, making, is_polled=making is not None, error=error, can_make=making is None)


def options_of_form(records: Records, session_id: str, fields: Mapping[str, str]) -> CutOptions:
    """Return the options of a form: those of an earlier ad, or the chosen formats."""
    if cut_id := fields.get("again"):
        earlier = records.cut(session_id, cut_id)
        if earlier is None:
            raise NotFound("this ad is gone: reload the page")
        return earlier.options
    return CutOptions(formats=tuple(each for each in SIZES if fields.get(each)))


def _tabs(cuts: list[CutView]) -> list[CutTab]:
    tabs: dict[Format, CutTab] = {}
    # Stable: the current ones first, and the newest first among them.
    for cut in sorted(cuts, key=lambda cut: cut.state == "stale"):
        for file in cut.files:
            tabs.setdefault(file.format, CutTab(file, cut))
    return list(tabs.values())


async def _cut_of_job(service: Service, board: Board) -> tuple[CutStatus | None, str]:
    """Return the ad that the run of the newest job is making, or why it has failed to."""
    newest = max((take for part in board.parts for take in part.takes), key=lambda take: take.created_at)
    if utc_now() - newest.updated_at > AFTER_CLIPS:
        return None, ""
    # Only the run of a whole ad has the id of its job and no chosen scene.
    run = await service.runs.read(newest.job_id)
    if run is None or "scenario" in run.parameters:
        return None, ""
    if run.state == CUT_FAILED:
        return None, reason_of(run)
    if run.is_final or not service.settings.cut or not run.parameters.get("cut", True):
        return None, ""
    progress, step = await service.runs.progress_of_cut(run.run_id)
    return CutStatus(status=State.GENERATING, progress=progress, step=step.rpartition(": ")[2]), ""
