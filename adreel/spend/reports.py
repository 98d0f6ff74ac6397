"""Reports of spend from the records of takes: what was estimated, billed, unknown and unused, by group."""

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from adreel.errors import AdreelError, StorageUnavailable, collect_errors
from adreel.models.scenarios import Scenario
from adreel.models.spend_groups import Group
from adreel.models.spend_totals import PrunedSpend, Spend
from adreel.models.takes import Choices
from adreel.records import Records
from adreel.records.spend import spend_of, take_key
from adreel.records.views import current_take

READERS = 16
SESSIONS_AT_ONCE = 256
"""Sessions that are read in parallel. It bounds the memory of a report."""
NO_CAMPAIGN = "-"
PRUNED = "pruned takes"


@dataclass
class Line:
    """A line of a report, in micro-dollars."""

    ads: int = 0
    finished: int = 0
    """Ads with a clip of each scene."""
    takes: int = 0
    clips: int = 0
    estimated: int = 0
    without_estimate: int = 0
    billed: int = 0
    unknown: int = 0
    """Takes with a bill that is not known, or not known yet."""
    unused: int = 0
    """Ended takes that were billed and that no ad uses."""
    unused_billed: int = 0

    @property
    def per_finished(self) -> int | None:
        """What a finished ad has cost, failed and unused takes included; None without one."""
        return round(self.billed / self.finished) if self.finished else None

    def add(self, spend: Spend, *, is_used: bool) -> None:
        """Add the spend of a take, or of pruned ones."""
        self.takes += spend.takes
        self.clips += spend.clips
        self.estimated += spend.estimated
        self.without_estimate += spend.without_estimate
        self.billed += spend.billed
        self.unknown += spend.unknown
        if not is_used and spend.billed:
            self.unused += spend.takes
            self.unused_billed += spend.billed


@dataclass
class Lines:
    """The lines of a report, and their total."""

    by_name: dict[str, Line] = field(default_factory=dict)
    total: Line = field(default_factory=Line)


@dataclass
class Report:
    """What was spent; `emulator` is what the emulator rendered, which is no money."""

    by: Group
    money: Lines = field(default_factory=Lines)
    emulator: Lines = field(default_factory=Lines)
    unreadable: list[AdreelError] = field(default_factory=list)

    def lines_of(self, spend: Spend, session_id: str) -> tuple[Line, Line]:
        """Return the line that the spend of a session counts in, and the total."""
        lines = self.emulator if spend.is_local else self.money
        names = {
            Group.CAMPAIGN: spend.campaign or NO_CAMPAIGN,
            Group.SESSION: session_id,
            Group.DAY: spend.day.isoformat(),
            Group.MODEL: spend.model,
            Group.SCENE: spend.scene,
        }
        return lines.by_name.setdefault(names[self.by], Line()), lines.total


@dataclass
class _SessionSpend:
    """What a report needs of a session. `takes` has the spend of each and whether an ad uses it."""

    session_id: str
    is_finished: bool
    takes: list[tuple[Spend, bool]]
    unreadable: list[AdreelError]


def build_report(records: Records, by: Group, since: date | None = None, until: date | None = None) -> Report:
    """Sum up the takes that were ordered in a period of UTC days, both ends included.

    The sessions are read a few hundred at a time. Unreadable records are named and left out.
    """
    report = Report(by)
    pruned = PrunedSpend()
    with collect_errors(report.unreadable):
        pruned = records.pruned_spend()
    for spend in pruned.every:
        if _is_in_period(spend, since, until):
            for line in report.lines_of(spend, PRUNED):
                line.add(spend, is_used=False)
    session_ids = records.session_ids()
    with ThreadPoolExecutor(READERS) as threads:
        for first in range(0, len(session_ids), SESSIONS_AT_ONCE):
            some = session_ids[first : first + SESSIONS_AT_ONCE]
            for session in threads.map(partial(_read_session, records, pruned.removing), some):
                report.unreadable += session.unreadable
                _add_session(report, session, since, until)
    return report


def _add_session(report: Report, session: _SessionSpend, since: date | None, until: date | None) -> None:
    touched: dict[int, Line] = {}
    for spend, is_used in session.takes:
        if _is_in_period(spend, since, until):
            for line in report.lines_of(spend, session.session_id):
                line.add(spend, is_used=is_used)
                touched[id(line)] = line
    for line in touched.values():
        line.ads += 1
        line.finished += session.is_finished


def _is_in_period(spend: Spend, since: date | None, until: date | None) -> bool:
    return (since is None or spend.day >= since) and (until is None or spend.day <= until)


def _read_session(records: Records, removing: Container[str], session_id: str) -> _SessionSpend:
    unreadable: list[AdreelError] = []
    scenarios, choices = list(Scenario), Choices(takes={})
    with collect_errors(unreadable):
        scenarios = records.session(session_id).scenarios
    with collect_errors(unreadable):
        choices = records.choices(session_id)
    found: list[tuple[Spend, bool]] = []
    finished = 0
    for scenario in Scenario:
        with collect_errors(unreadable):
            takes = records.takes(session_id, scenario, unreadable)
            current = current_take(takes, choices)
            finished += current is not None and scenario in scenarios
            for take in takes:
                if (spend := spend_of(take)) and take_key(take) not in removing:
                    found.append((spend, take is current or take.is_open))
    for error in unreadable:
        if isinstance(error, StorageUnavailable):
            raise error
    return _SessionSpend(session_id, finished == len(scenarios), found, unreadable)
