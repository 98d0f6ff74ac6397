"""Reports of spend from the records of takes: what was estimated, billed, unknown and unused, by group."""

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial

from adreel.errors import collect_errors
from adreel.models.spend_groups import Group
from adreel.models.spend_reports import Line, Report, is_in_period
from adreel.models.spend_totals import PrunedSpend
from adreel.records import Records
from adreel.records.spend import SessionSpend, read_session_spend, take_key

READERS = 16
SESSIONS_AT_ONCE = 256
"""Sessions that are read in parallel. It bounds the memory of a report."""


def build_report(records: Records, by: Group, since: date | None = None, until: date | None = None) -> Report:
    """Sum up the takes that were ordered in a period of UTC days, both ends included.

    The sessions are read a few hundred at a time. Unreadable records are named and left out.
    """
    report = Report(by)
    pruned = PrunedSpend()
    with collect_errors(report.unreadable):
        pruned = records.pruned_spend()
    report.add_pruned(pruned.every, since, until)
    session_ids = records.session_ids()
    with ThreadPoolExecutor(READERS) as threads:
        for first in range(0, len(session_ids), SESSIONS_AT_ONCE):
            some = session_ids[first : first + SESSIONS_AT_ONCE]
            for session in threads.map(partial(read_session_spend, records), some):
                report.unreadable += session.unreadable
                _add_session(report, session, pruned.removing, since, until)
    return report


def _add_session(
    report: Report, session: SessionSpend, removing: Container[str], since: date | None, until: date | None
) -> None:
    touched: dict[int, Line] = {}
    for take, spend, is_used in session.takes:
        if is_in_period(spend, since, until) and take_key(take) not in removing:
            for line in report.lines_of(spend, session.session_id):
                line.add(spend, is_used=is_used)
                touched[id(line)] = line
    for line in touched.values():
        line.ads += 1
        line.finished += session.is_finished
