"""Reports of spend by group: what was estimated, billed, unknown and unused. Sums are integer micro-dollars."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import TextIO

from pydantic import BaseModel, Field

from adreel.errors import AdreelError
from adreel.models.spend import to_usd
from adreel.models.spend_groups import Group
from adreel.models.spend_totals import Spend

NO_CAMPAIGN = "-"
PRUNED = "pruned takes"
EMULATOR = "emulator, no money"


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
        """All that was billed, failed and unused takes included, by the number of finished ads; None without one."""
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

    def values(self) -> dict[str, int | float | None]:
        """Return its numbers, with money in USD."""
        return {
            "ads": self.ads,
            "finished": self.finished,
            "takes": self.takes,
            "clips": self.clips,
            "estimated": to_usd(self.estimated),
            "without_estimate": self.without_estimate,
            "billed": to_usd(self.billed),
            "unknown": self.unknown,
            "unused": self.unused,
            "unused_billed": to_usd(self.unused_billed),
            "per_finished": to_usd(self.per_finished),
        }


@dataclass
class Lines:
    """The lines of a report, and their total."""

    by_name: dict[str, Line] = field(default_factory=dict)
    total: Line = field(default_factory=Line)


@dataclass
class Report:
    """Spend by group. `emulator` has the renders of the emulator, which cost no money."""

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

    def add_pruned(self, pruned: Iterable[Spend], since: date | None, until: date | None) -> None:
        """Add the spend of takes whose records are gone: no ad uses them."""
        for spend in pruned:
            if is_in_period(spend, since, until):
                for line in self.lines_of(spend, PRUNED):
                    line.add(spend, is_used=False)

    def write_csv(self, file: TextIO) -> None:
        """Write the lines as CSV, with sums in USD."""
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([self.by.value, *Line().values(), "currency"])
        for lines, currency in ((self.money, "USD"), (self.emulator, EMULATOR)):
            for name, line in sorted(lines.by_name.items()):
                writer.writerow([_inert(name), *line.values().values(), currency])


class SpendLine(BaseModel):
    """Takes that were summed up. Money is in USD."""

    name: str = Field(description="Campaign (`-` for none), session, day, model or scene", examples=["spring"])
    ads: int
    finished: int = Field(description="Number of ads with a clip of each scene")
    takes: int
    clips: int
    estimated: float = Field(description="What the takes were expected to cost", examples=[1.4])
    without_estimate: int = Field(description="Number of takes that `estimated` leaves out")
    billed: float = Field(examples=[1.4])
    unknown: int = Field(description="Number of takes with a bill that is not known, or not known yet")
    unused: int = Field(description="Number of billed takes that no ad uses")
    unused_billed: float
    per_finished: float | None = Field(description="What a finished ad has cost; null without one")


class SpendLines(BaseModel):
    """The lines of a report and their total."""

    rows: list[SpendLine]
    total: SpendLine


class SpendReport(SpendLines):
    """Spend by group."""

    by: Group
    since: date | None
    until: date | None
    emulator: SpendLines = Field(description="What the emulator rendered, which is no money")
    unreadable: int = Field(0, description="Number of sessions with a record that can't be read: it is left out")
    notice: str | None = Field(None, description="Why numbers may be too low: the index is being built")


def lines_view(lines: Lines) -> SpendLines:
    """Return lines for the API, by name."""
    rows = [SpendLine.model_validate({"name": name, **line.values()}) for name, line in sorted(lines.by_name.items())]
    return SpendLines(rows=rows, total=SpendLine.model_validate({"name": "total", **lines.total.values()}))


def is_in_period(spend: Spend, since: date | None, until: date | None) -> bool:
    """Whether takes were ordered in a period of UTC days, both ends included."""
    return (since is None or spend.day >= since) and (until is None or spend.day <= until)


def _inert(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in {"=", "+", "@", "\t"} or (name[:1] == "-" and name != NO_CAMPAIGN) else name
