"""Kills a peer while it works, restarts it by the same command, and counts the clips that were bought twice or stored.

There are two moments: all clips are ordered and none is rendered, and the first order was just accepted. A third trial
returns a web page for one download, and checks whether the peer accepts it as a clip.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.catalog import Peer
from benchmarks.peers.measuring import START_SECONDS, Figures, end_of
from benchmarks.peers.surroundings import Surroundings, around

RENDER_SECONDS = 12.0
"""Long enough for the kill to happen during the render."""
SETTLE_SECONDS = 1.5
"""Time for a peer to record that its last order was accepted."""
WEB_PAGE = "html200@2"
MOMENTS = ("all ordered", "first ordered")


def kill_peer(
    peer: Peer, folder: Path, *, moment: str, scenes: int, deadline: float, render_seconds: float = RENDER_SECONDS
) -> Figures:
    """Kill a peer at a moment and restart it. Errors are part of the figures."""

    def trial(place: Surroundings) -> Figures:
        _cut_off(place, scenes if moment == "all ordered" else 1, settle=moment == "all ordered")
        before = len(_tasks(place))
        again = place.start()
        try:
            began = time.time()
            stored = again.event("stored", began + deadline)
            took = round(stored["at"] - began, 1) if stored else None
            again.wait(5)
            end = "succeeded" if stored else end_of(again, deadline)
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
    """Return a web page for one download."""

    def trial(place: Surroundings) -> Figures:
        program = place.start()
        try:
            stored = program.event("stored", time.time() + deadline)
            end = "succeeded" if stored else end_of(program, deadline)
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
