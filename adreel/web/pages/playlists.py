"""Playlists: what the player of an ad's page plays, and the takes that it can swap."""

from dataclasses import dataclass

from adreel.models.cut_settings import CutSettings
from adreel.models.scenarios import Scenario
from adreel.web.pages.boards import Board
from adreel.web.pages.cut_section import CutSection, CutTab
from adreel.web.pages.part_boards import SceneBoard


@dataclass(frozen=True)
class PlayedTake:
    """A stored take; `take` is its short id, `seconds` the length of its clip."""

    take: str
    number: int
    src: str
    seconds: float


@dataclass(frozen=True)
class PlayedScene:
    """A scene with its stored takes, the oldest first; `current` is the short id of its current take."""

    scenario: Scenario
    takes: list[PlayedTake]
    current: str | None


@dataclass(frozen=True)
class Chapter:
    """A scene of a finished ad, and the second at which it starts."""

    scenario: Scenario
    start: float


@dataclass(frozen=True)
class FinishedAd:
    """A finished ad of the current takes. The chapters are empty if they are unknown."""

    src: str
    seconds: float
    format: str
    chapters: list[Chapter]


@dataclass(frozen=True)
class Playlist:
    """The scenes of an ad in their order, and the finished ad if there is a current one."""

    scenes: list[PlayedScene]
    ad: FinishedAd | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be played yet."""
        return self.ad is None and not any(scene.takes for scene in self.scenes)


def make_playlist(board: Board, cut: CutSection) -> Playlist:
    """Return the playlist of an ad."""
    current = next((tab for tab in cut.tabs if not tab.is_stale), None)
    scenes = [
        PlayedScene(scene.scenario, _stored_takes(scene), scene.current.short_id if scene.current else None)
        for scene in board.scenes
    ]
    if current is None:
        return Playlist(scenes, None)
    file = current.file
    return Playlist(scenes, FinishedAd(file.url, file.duration, file.format, _chapters(board, current)))


def _stored_takes(scene: SceneBoard) -> list[PlayedTake]:
    return [
        PlayedTake(take.short_id, number, f"/outputs/{take.clip.file}", take.clip.duration)
        for number, take in enumerate(scene.takes, 1)
        if take.is_stored and take.clip
    ]


def _chapters(board: Board, tab: CutTab) -> list[Chapter]:
    """Return the chapters of a finished ad of the current takes, by the lengths of their clips."""
    transition = (board.session.cut or CutSettings()).transition
    overlap = transition.seconds if transition.kind == "fade" else 0
    clips = {scene.scenario: scene.current.clip for scene in board.scenes if scene.current}
    chapters: list[Chapter] = []
    start = 0.0
    for each in tab.cut.inputs:
        clip = clips.get(each.scenario)
        if clip is None:
            return []
        chapters.append(Chapter(each.scenario, round(start, 2)))
        start += clip.duration - overlap
    return chapters
