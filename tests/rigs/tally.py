"""Counts the runs and the broken promises of a rig, fault by invariant, and writes the tables of docs/reliability.md.

python -m tests.rigs.tally      writes the tables anew from the counts in docs/reliability/*.json
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


class Tally:
    """For each fault and each invariant that was checked: how many runs, and how many broke it."""

    def __init__(self, facts: dict[str, Any] | None = None) -> None:
        self.facts: dict[str, Any] = facts or {}
        """What else the page tells of these runs: name -> figure."""
        self._counts: dict[str, dict[str, list[int]]] = {}

    def run(
        self, faults: Iterable[str], violations: Iterable[Violation], checked: Collection[str] = tuple(INVARIANTS)
    ) -> None:
        """Count one run under these faults, which may be none."""
        broken = {violation.invariant for violation in violations}
        for fault in set(faults) or {NO_FAULT}:
            row = self._counts.setdefault(fault, {})
            for invariant in checked:
                runs, violated = row.get(invariant, [0, 0])
                row[invariant] = [runs + 1, violated + (invariant in broken)]

    def add(self, other: "Tally") -> None:
        """Take up what another tally has counted."""
        for fault, theirs in other._counts.items():
            row = self._counts.setdefault(fault, {})
            for invariant, (runs, violated) in theirs.items():
                before = row.get(invariant, [0, 0])
                row[invariant] = [before[0] + runs, before[1] + violated]

    @property
    def violations(self) -> int:
        """How many runs broke an invariant, under all faults."""
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
        """Keep the counts for the page, in place of those of an earlier run of the same rig."""
        COUNTS.mkdir(exist_ok=True)
        (COUNTS / f"{rig}.json").write_text(self.dumps())

    def table(self) -> str:
        """Draw the counts: a row for each fault, with its runs and, for each invariant, how many broke it."""
        head = ["fault", "runs", *INVARIANTS]
        lines = [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
        for fault, row in sorted(self._counts.items(), key=lambda item: (item[0] != NO_FAULT, item[0])):
            runs = max(runs for runs, _ in row.values())
            lines.append(_row([fault, f"{runs:,}", *(_cell(row.get(invariant)) for invariant in INVARIANTS)]))
        return "\n".join(lines)

    def text(self) -> str:
        """Draw the facts and the table."""
        facts = "; ".join(f"{name}: {_figure(value)}" for name, value in self.facts.items())
        return f"{facts}.\n\n{self.table()}" if facts else self.table()


def page(text: str) -> str:
    """Return the page with its tables as the counts have them."""

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
