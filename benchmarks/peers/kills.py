"""A peer is killed while it works, and started again by the same command: what was bought twice, and what came home?

Two moments: all clips are ordered and none is rendered; and the first order has just been taken. A third trial
gives one clip's download a web page instead: does the peer take it for a clip?
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.catalog import Peer
from benchmarks.peers.measuring import START_SECONDS, Figures, end_of
from benchmarks.peers.surroundings import Surroundings, around

RENDER_SECONDS = 12.0
"""Long enough that the kill falls into the render."""
SETTLE_SECONDS = 1.5
"""What a peer gets to note that its last order was accepted."""
WEB_PAGE = "html200@2"
MOMENTS = ("all ordered", "first ordered")


def kill_peer(
    peer: Peer, folder: Path, *, moment: str, scenes: int, deadline: float, render_seconds: float = RENDER_SECONDS
) -> Figures:
    """Kill a peer at a moment and start it again; what goes wrong is among the figures."""

    def trial(place: Surroundings) -> Figures:
        _cut_off(place, scenes if moment == "all ordered" else 1, settle=moment == "all ordered")
        before = len(_tasks(place))
        again = place.start()
        try:
            began = time.time()
            home = again.event("home", began + deadline)
            took = round(home["at"] - began, 1) if home else None
            again.wait(5)
            end = "home" if home else end_of(again, deadline)
        finally:
            again.end()
        bought = len(_tasks(place))
        return {
            "ordered_before": before,
            "bought": bought,
            "bought_twice": max(0, bought - scenes),
            "clips": place.clips(),
            "seconds_after_restart": took,
            "end": end,
        }

    return _tried(peer, folder, scenes, moment, trial, render_seconds=render_seconds)


def mislead_peer(peer: Peer, folder: Path, *, scenes: int, deadline: float) -> Figures:
    """Answer the download of one clip with a web page, once."""

    def trial(place: Surroundings) -> Figures:
        program = place.start()
        try:
            home = program.event("home", time.time() + deadline)
            end = "home" if home else end_of(program, deadline)
        finally:
            program.end()
        return {"bought": len(_tasks(place)), "clips": place.clips(), "end": end}

    return _tried(peer, folder, scenes, "web page", trial, faults=(WEB_PAGE,), render_seconds=2.0)


def _tried(
    peer: Peer,
    folder: Path,
    scenes: int,
    moment: str,
    trial: Callable[[Surroundings], Figures],
    *,
    render_seconds: float,
    faults: tuple[str, ...] = (),
) -> Figures:
    facts: Figures = {"peer": peer.name, "moment": moment, "scenes": scenes}
    try:
        with around(peer, folder, scenes=scenes, render_seconds=render_seconds, faults=faults) as place:
            return facts | trial(place)
    except Exception as error:
        return facts | {"end": f"{type(error).__name__}: {error}"[:300]}


def _cut_off(place: Surroundings, ordered: int, *, settle: bool) -> None:
    program = place.start()
    try:
        until = time.time() + START_SECONDS
        while len(_tasks(place)) < ordered:
            if program.code is not None or time.time() > until:
                raise RuntimeError(f"it ordered too little before the kill: {end_of(program, START_SECONDS)}")
            time.sleep(0.01)
        if settle:
            time.sleep(SETTLE_SECONDS)
        if any(task["outcome"] for task in _tasks(place)):
            raise RuntimeError("a clip was rendered before the kill")
    finally:
        program.kill()


def _count(place: Surroundings) -> int:
    return len(_tasks(place))


def _tasks(place: Surroundings) -> list[dict[str, Any]]:
    return list(place.provider.book()["tasks"])
