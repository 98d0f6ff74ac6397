"""Measures one peer: its time over the ideal, and its resources."""

import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.peers import clips
from benchmarks.peers.catalog import Peer
from benchmarks.peers.processes import Program
from benchmarks.peers.surroundings import Provider, Surroundings, around, provider

START_SECONDS = 180.0
LEAVE_SECONDS = 30.0
Figures = dict[str, Any]


def transfer_seconds(folder: Path) -> float:
    """Return the shortest of ten download times of one clip."""
    with provider(folder, render_seconds=0) as source, httpx.Client(headers=clips.HEADERS) as web:
        rest, uuid = source.url.replace("ws://", "http://"), clips.uuid_for("transfer")
        web.post(rest, json=clips.submission(uuid)).raise_for_status()
        while (url := clips.url_in(web.post(rest, json=clips.question(uuid)))) is None:
            time.sleep(0.05)
        return min(_seconds_of(web, url) for _ in range(10))


def _seconds_of(web: httpx.Client, url: str) -> float:
    began = time.perf_counter()
    web.get(url).raise_for_status()
    return time.perf_counter() - began


def measure_peer(
    peer: Peer, folder: Path, *, scenes: int, render_seconds: float, ideal: float, deadline: float
) -> Figures:
    """Run a peer. Errors are part of the figures and are not raised."""
    facts: Figures = {"peer": peer.name, "scenes": scenes, "render_seconds": render_seconds, "error": ""}
    try:
        with around(peer, folder, scenes=scenes, render_seconds=render_seconds) as place:
            facts |= _carried_out(place, scenes, ideal, deadline)
    except Exception as error:
        facts["error"] = f"{type(error).__name__}: {error}"[:300]
    return facts


def _carried_out(place: Surroundings, scenes: int, ideal: float, deadline: float) -> Figures:
    program = place.start()
    parts = {"program": program, "server": place.server, "provider": place.provider.program}
    try:
        began = program.event("submitting", time.time() + START_SECONDS)
        before = _used(parts)
        stored = program.event("stored", time.time() + deadline) if began else None
        used = {name: now - before[name] for name, now in _used(parts).items()}
        error = _trouble(program, deadline, stored=stored is not None)
    finally:
        program.end()
    facts: Figures = {"error": error, **_provided(place.provider, scenes), "clips": place.clips()}
    if began:
        facts["startup_seconds"] = round(began["at"] - program.started_at, 2)
    if began and stored:
        wall = stored["at"] - began["at"]
        facts |= {"wall_seconds": round(wall, 2), "over_ideal_seconds": round(wall - ideal, 2)}
        facts |= {f"{name}_cpu_ms_per_scene": round(cpu * 1000 / scenes, 1) for name, cpu in used.items()}
    return facts | {f"{name}_peak_mb": round(part.peak_mb) for name, part in parts.items() if part}


def _used(parts: dict[str, Program | None]) -> dict[str, float]:
    return {name: part.cpu() for name, part in parts.items() if part}


def _trouble(program: Program, deadline: float, *, stored: bool) -> str:
    if stored and program.wait(LEAVE_SECONDS) == 0:
        return ""
    if stored:
        return f"the work is done, then exit code {program.code}: {program.last_words()}"
    return end_of(program, deadline)


def end_of(program: Program, deadline: float) -> str:
    """Describe the end of a program that has not stored all clips."""
    if program.code is None:
        return f"not done after {deadline:g} s"
    return f"exit code {program.code}: {program.last_words()}"


def _provided(source: Provider, scenes: int) -> Figures:
    book = source.book()
    counters = book["counters"]
    messages = counters["submits"] + counters["polls"]
    return {
        "bought": len(book["tasks"]),
        "messages_per_scene": round(messages / scenes, 2),
        "most_in_flight": book["most_in_flight"],
        **counters,
    }
