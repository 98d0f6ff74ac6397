"""Spend and waits by the index, so that no request reads every take."""

import json
import zlib
from collections.abc import Sequence
from datetime import date
from statistics import median

from adreel.errors import collect_errors
from adreel.index.queries import UNREADABLE
from adreel.index.session_index import SessionIndex
from adreel.models.spend_groups import Group
from adreel.models.spend_reports import NO_CAMPAIGN, Line, Report, SpendReport, lines_view
from adreel.models.spend_totals import PrunedSpend

NEWEST = 25
"""Number of own takes that tell how long a clip usually takes."""
_NAMES = {
    Group.CAMPAIGN: f"CASE campaign WHEN '' THEN '{NO_CAMPAIGN}' ELSE campaign END",
    Group.SESSION: "session_id",
    Group.DAY: "day",
    Group.MODEL: "model",
    Group.SCENE: "scenario",
}
_SUMS = (
    "count(DISTINCT session_id), count(DISTINCT CASE WHEN is_finished THEN session_id END), count(*), sum(clips),"
    " sum(estimated), sum(without_estimate), sum(billed), sum(unknown), sum(NOT is_used AND billed > 0),"
    " sum(CASE WHEN is_used THEN 0 ELSE billed END)"
)


def read_report(index: SessionIndex, by: Group, since: date | None = None, until: date | None = None) -> Report:
    """Sum up the takes that were ordered in a period of UTC days, both ends included.

    The sums are those of `build_report`, as far as the index is complete.
    """
    pruned, broken = PrunedSpend(), Report(by).unreadable
    with collect_errors(broken):
        pruned = index.records.pruned_spend()
    where, values = "day BETWEEN ? AND ?", [str(since or "0"), str(until or "9")]
    # The index may not have dropped these takes yet.
    if counted := [key.split("/") for key in (*pruned.removing, *pruned.recent)]:
        where += f" AND (session_id, scenario, job_id) NOT IN (VALUES {', '.join(['(?, ?, ?)'] * len(counted))})"
        values += [part for key in counted for part in key]

    def read() -> Report:
        report = Report(by, unreadable=list(broken))
        for name in (_NAMES[by], "NULL"):
            sql = f"SELECT is_local, {name}, {_SUMS} FROM takes WHERE {where} GROUP BY 1, 2"  # noqa: S608 - constants
            for is_local, found, *sums in index.database.read_apart(sql, values):
                lines, line = report.emulator if is_local else report.money, Line(*sums)
                if found is None:
                    lines.total = line
                else:
                    lines.by_name[found] = line
        return report

    report = index.current(read)
    report.add_pruned(pruned.every, since, until)
    return report


def read_spend(index: SessionIndex, by: Group, since: date | None = None, until: date | None = None) -> SpendReport:
    """Return a report for the API. Sessions with a broken record are counted, and their other takes are in it."""
    report = read_report(index, by, since, until)
    sql = "SELECT count(*) FROM sessions WHERE state = ?"
    [[unreadable]] = index.database.read(sql, (UNREADABLE,))
    return SpendReport(
        by=by,
        since=since,
        until=until,
        **dict(lines_view(report.money)),
        emulator=lines_view(report.emulator),
        unreadable=unreadable + len(report.unreadable),
        notice=index.notice,
    )


def usual_seconds(index: SessionIndex, model: str, duration: float, *, is_local: bool) -> float | None:
    """Return how long the newest clips of a model and length took from the order to the stored file.

    None without such clips. Those of the emulator are told apart.
    """
    sql = (
        "SELECT seconds FROM takes WHERE model = ? AND duration = ? AND is_local = ? AND seconds IS NOT NULL"
        " ORDER BY day DESC LIMIT ?"
    )
    rows = index.database.read(sql, (model, duration, is_local, NEWEST))
    return median(seconds for [seconds] in rows) if rows else None


def read_product_names(index: SessionIndex, session_ids: Sequence[str]) -> dict[str, str]:
    """Return the names of the products of sessions; those that can't be read are left out."""
    marks = ", ".join("?" * len(session_ids))
    sql = f"SELECT session_id, content FROM summaries WHERE session_id IN ({marks})"  # noqa: S608 - only marks
    texts = {session_id: zlib.decompress(content) for session_id, content in index.database.read(sql, session_ids)}
    return {name: json.loads(text)["product_name"] for name, text in texts.items() if text.startswith(b"{")}
