"""The figures as Markdown tables, one row for each peer."""

from typing import Any

from benchmarks.peers.catalog import PEERS

Figures = dict[str, Any]
COLUMNS = {
    "peer": "peer",
    "clips": "clips stored",
    "bought": "bought",
    "wall_seconds": "wall, s",
    "over_ideal_seconds": "over the ideal, s",
    "program_cpu_ms_per_scene": "CPU per scene, ms",
    "server_cpu_ms_per_scene": "its server's",
    "program_peak_mb": "peak memory, MB",
    "server_peak_mb": "its server's, MB",
    "messages_per_scene": "messages per scene",
    "startup_seconds": "start-up, s",
    "error": "error",
}
KILLED = {
    "peer": "peer",
    "ordered_before": "ordered before the kill",
    "bought": "bought in all",
    "bought_twice": "bought twice",
    "clips": "clips stored",
    "seconds_after_restart": "stored after the restart, s",
    "end": "end",
}
MISLED = {"peer": "peer", "bought": "bought", "clips": "clips that play", "end": "end"}


def markdown(report: dict[str, list[Figures]]) -> str:
    """Return all tables of a report, including the limits of the peers."""
    parts = []
    for scenes in sorted({run["scenes"] for run in report["runs"]}):
        rows = [run for run in report["runs"] if run["scenes"] == scenes]
        parts.append(f"### {scenes} scenes, {rows[0]['render_seconds']:g} s of rendering\n\n{_table(COLUMNS, rows)}")
    for moment in dict.fromkeys(trial["moment"] for trial in report["kills"]):
        rows = [trial for trial in report["kills"] if trial["moment"] == moment]
        title = "A web page instead of one clip" if moment == "web page" else f"Killed, {moment}"
        columns = MISLED if moment == "web page" else KILLED
        parts.append(f"### {title}, {rows[0]['scenes']} scenes\n\n{_table(columns, rows)}")
    seen = {row["peer"] for rows in report.values() for row in rows}
    parts.append(f"### What each tool leaves to its user\n\n{_statements(seen)}")
    return "\n\n".join(parts)


def _table(columns: dict[str, str], rows: list[Figures]) -> str:
    lines = [list(columns.values()), ["---"] * len(columns)]
    lines += [[_cell(row.get(name)) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _statements(seen: set[str]) -> str:
    columns = {"name": "peer", "what": "what it is", "does_not": "does not", "limit": "a limit over several machines"}
    return _table(columns, [vars(peer) for peer in PEERS if peer.name in seen])


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "/").replace("\n", " ")
