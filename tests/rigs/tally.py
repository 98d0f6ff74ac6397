"""Counts the runs and violations of a rig by fault and invariant, and writes the tables of docs/reliability.md.

python -m tests.rigs.tally      writes the tables from the counts in docs/reliability/*.json
"""

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from tests.rigs.invariants import INVARIANTS, Violation

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reliability.md"
COUNTS = DOCS / "reliability"
NO_FAULT = "no fault"

WITHOUT_BUDGET = tuple(name for name in INVARIANTS if name != "I17")
"""The invariants that are checked in each run."""


class Tally:
    """The number of runs and violations for each fault and each checked invariant."""

    def __init__(self, facts: dict[str, Any] | None = None) -> None:
        self.facts: dict[str, Any] = facts or {}
        """Further figures of these runs for the page, by name."""
        self._counts: dict[str, dict[str, list[int]]] = {}

    def run(
        self, faults: Iterable[str], violations: Iterable[Violation], checked: Collection[str] = WITHOUT_BUDGET
    ) -> None:
        """Count one run under these faults, or under none."""
        broken = {violation.invariant for violation in violations}
        for fault in set(faults) or {NO_FAULT}:
            row = self._counts.setdefault(fault, {})
            for invariant in checked:
                runs, violated = row.get(invariant, [0, 0])
                row[invariant] = [runs + 1, violated + (invariant in broken)]

    def add(self, other: "Tally") -> None:
        """Add the counts of another tally."""
        for fault, theirs in other._counts.items():
            row = self._counts.setdefault(fault, {})
            for invariant, (runs, violated) in theirs.items():
                before = row.get(invariant, [0, 0])
                row[invariant] = [before[0] + runs, before[1] + violated]

    @property
    def violations(self) -> int:
        """The number of violations under all faults."""
        return sum(violated for row in self._counts.values() for _, violated in row.values())

    def dumps(self) -> str:
        """Write the counts as JSON."""
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(self._counts.items()))
        return f'{{"facts": {json.dumps(self.facts)},\n"faults": {{\n{rows}\n}}}}\n'

    @classmethod
    def loads(cls, text: str) -> "Tally":
        """Read counts that were written as JSON."""
        data = json.loads(text)
        tally = cls(data["facts"])
        tally._counts = data["faults"]
        return tally

    def save(self, rig: str) -> None:
        """Save the counts for the page. They replace those of an earlier run of the rig."""
        COUNTS.mkdir(exist_ok=True)
        (COUNTS / f"{rig}.json").write_text(self.dumps())

    def table(self) -> str:
        """Return a table with a row for each fault: its runs, and its violations of each invariant."""
        head = ["fault", "runs", *INVARIANTS]
        lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
        for fault, row in sorted(self._counts.items(), key=lambda item: (item[0] != NO_FAULT, item[0])):
            runs = max(runs for runs, _ in row.values())
            lines.append(_row([fault, f"{runs:,}", *(_cell(row.get(invariant)) for invariant in INVARIANTS)]))
        return "\n".join(lines)

    def text(self) -> str:
        """Return the figures and the table."""
        facts = "; ".join(f"{name}: {_figure(value)}" for name, value in self.facts.items())
        return f"{facts}.\n\n{self.table()}" if facts else self.table()


def page(text: str) -> str:
    """Return the page with the tables of the saved counts."""

    def fill(found: re.Match[str]) -> str:
        counts = COUNTS / f"{found[1]}.json"
        text = Tally.loads(counts.read_text()).text() if counts.exists() else "No counts have been kept yet."
        return f"<!-- {found[1]} -->\n{text}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(counted: list[int] | None) -> str:
    if counted is None:
        return ""
    return f"**{counted[1]}**" if counted[1] else "0"


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
