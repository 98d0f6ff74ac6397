"""Checks every write and every submit of a simulation when it happens."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from adreel.emulator.ledger import Entry, Ledger
from adreel.models.spend import BudgetRecord
from adreel.spend.accounts import Accounts
from tests.rigs.invariants import Violation

SENT = {"submitted", "accepted", "failed", "rendered", "stored"}
SECRET = "sk-simulated"
BUDGETS = "sim/budgets/budgets.json"


class Witness:
    """The durable records and the violations."""

    def __init__(self, jobs_of_writer: Callable[[], set[str]], files: Callable[[], dict[str, bytes]]) -> None:
        self.violations: list[Violation] = []
        self._jobs_of_writer, self._files = jobs_of_writer, files
        self._durable: set[str] = set()
        self._is_capped = False

    def add_violation(self, invariant: str, text: str) -> None:
        """Record a violation."""
        self.violations.append(Violation(invariant, text))

    def on_submit(self, uuid: str) -> None:
        """Check a submit that the provider has received."""
        if uuid not in self._durable:
            self.add_violation("I3", f"{uuid} was submitted before a record said so")

    def on_acceptance(self, uuid: str) -> None:
        """Check a new task of the provider. A repeated submit of a paid task may come after its hold has ended."""
        if self._is_capped and uuid not in json.loads(self._files()[BUDGETS])["open"]:
            self.add_violation("I17", f"{uuid} was accepted without a hold")

    def on_write(self, path: str, before: bytes | None, content: bytes) -> None:
        """Check a write that is now durable."""
        if SECRET.encode() in content:
            self.add_violation("I12", f"the key is in {path}")
        if not path.endswith(".json"):
            if before is not None and before != content:
                self.add_violation("I5", f"{path} was replaced by something else")
            return
        if "/takes/" in path or path.startswith("sim/jobs/"):
            job_id = path.rpartition("/")[2].removesuffix(".json")
            if job_id not in self._jobs_of_writer():
                self.add_violation("I4", f"a runner of {self._jobs_of_writer()} wrote {path}")
        if path == BUDGETS:
            self._on_budgets(BudgetRecord.model_validate_json(content))
        if "/takes/" in path:
            self._on_take(path, json.loads(before) if before else None, json.loads(content))

    def _on_budgets(self, record: BudgetRecord) -> None:
        self._is_capped = bool(record.budgets)
        for name, budget in record.budgets.items():
            used = Accounts(record).used(name, "all")
            if used > budget.cap:
                self.add_violation("I17", f"{used} of {budget.cap} are spent or held")

    def _on_take(self, path: str, before: dict[str, Any] | None, take: dict[str, Any]) -> None:
        self._durable |= {attempt["uuid"] for attempt in take["attempts"] if attempt["state"] in SENT}
        if before is not None:
            if take["progress"] < before["progress"]:
                self.add_violation("I8", f"{path}: from {before['progress']} % back to {take['progress']} %")
            if _is_stored(before) and before != take:
                self.add_violation("I5", f"{path} was stored and has been changed")
        if _is_stored(take):
            clip = take["clip"]
            content = self._files().get(f"sim/{clip['file']}")
            if content is None or hashlib.sha256(content).hexdigest() != clip["sha256"]:
                self.add_violation("I7", f"{path} says stored, {clip['file']} says otherwise")


class WatchedLedger(Ledger):
    """A ledger that reports each submit and each new task to the witness."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self._witness = witness

    def saw_submit(self, uuid: str, at: float) -> None:
        """Record a submit, accepted or not."""
        self._witness.on_submit(uuid.lower())
        super().saw_submit(uuid, at)

    def accept(self, entry: Entry) -> None:
        """Record a new task."""
        self._witness.on_acceptance(entry.uuid.lower())
        super().accept(entry)


def _is_stored(take: dict[str, Any]) -> bool:
    return bool(take["attempts"]) and take["attempts"][-1]["state"] == "stored"
