"""The end of the rig: runs end by themselves, the others are resumed by hand, and then nothing may happen any more."""

import time
from collections.abc import Callable
from typing import Any

from adreel.emulator.ledger import Ledger
from adreel.records import Records
from tests.rigs.chaos.api import ServerAway
from tests.rigs.chaos.checks import described, open_takes
from tests.rigs.chaos.orders import Order
from tests.rigs.chaos.processes import runs
from tests.rigs.chaos.stack import Stack
from tests.rigs.invariants import Violation

Until = Callable[[Callable[[], bool], float], bool]

BY_HAND_SECONDS = 300.0
LEASE_SECONDS = 400.0
SLACK_SECONDS = 40.0
PATIENCE_SECONDS = 30.0
LIMIT = "runware"


class Settling:
    """Waits for the end of all runs after the last kill."""

    def __init__(self, stack: Stack, records: Records, orders: list[Order], until: Until, patience: float) -> None:
        self.violations: list[Violation] = []
        self.by_hand: list[str] = []
        """The runs that were resumed by hand, with state and reason."""
        self.scenes_by_hand = 0
        """The number of scenes of these runs without a clip."""
        self.seconds = 0.0
        """The seconds until the runs had ended by themselves."""
        self._stack, self._records, self._orders = stack, records, orders
        self._until, self._patience = until, patience
        self._resumes = 0
        self._unchanged_since: tuple[float, object] = (0.0, None)

    def run(self) -> None:
        """Wait until nothing happens any more."""
        began = time.monotonic()
        self._until(lambda: self._have_all_ended() or self._is_idle(), self._patience)
        by_itself = self._have_all_ended()
        self.seconds = time.monotonic() - began
        print(f"settled by itself: {'yes' if by_itself else 'no'}, after {self.seconds:.0f} s")
        self._stack.api.patience = PATIENCE_SECONDS
        if not by_itself or open_takes(self._records):
            self._resume_by_hand()
        self._resume()
        self._check_everything_ended()
        self._check_that_a_second_resume_does_nothing()
        self._check_slots()

    def _have_all_ended(self) -> bool:
        if runs(self._stack.mark) or not self._stack.is_up():
            return False
        return not self._unfinished() and not self._untouched()

    def _is_idle(self) -> bool:
        """Whether nothing has happened for longer than the recovery takes."""
        standing = [(run["id"], run["state"]["id"]) for run in self._unfinished() if run]
        if runs(self._stack.mark) or standing != self._unchanged_since[1]:
            self._unchanged_since = (time.monotonic(), standing)
        # After a restart, the recovery waits for a full window before a heartbeat counts as missing.
        settings = self._stack.settings
        return time.monotonic() - self._unchanged_since[0] > settings.start + settings.silence + SLACK_SECONDS

    def _unfinished(self) -> list[dict[str, Any]]:
        try:
            return self._stack.api.unfinished()
        except ServerAway:
            return [{}]

    def _untouched(self) -> list[Order]:
        """Return the orders that no run has begun."""
        return [order for order in self._orders if order.run_id and self._records.job(order.run_id) is None]

    def _resume_by_hand(self) -> None:
        takes = open_takes(self._records)
        untouched = self._untouched()
        self.scenes_by_hand = len(takes) + sum(len(order.scenarios) for order in untouched)
        stuck = {str(run["id"]) for run in self._stack.api.unfinished()}
        stuck |= {take.job_id for take in takes} | {str(order.run_id) for order in untouched}
        for run_id in sorted(stuck):
            self._tell(self._stack.api.run(run_id), [described(take) for take in takes if take.job_id == run_id])
        # A resume does not know runs that have recorded no job.
        self._until(self._have_all_begun, BY_HAND_SECONDS)

    def _have_all_begun(self) -> bool:
        """Retry the runs that have no job yet, as often as necessary."""
        untouched = self._untouched()
        for order in untouched:
            if self._stack.api.run(str(order.run_id))["state"]["type"] in {"CRASHED", "FAILED"}:
                self._stack.api.retry(str(order.run_id))
        return not untouched and not runs(self._stack.mark)

    def _tell(self, run: dict[str, Any], stand: list[str]) -> None:
        state = run["state"]
        alive = [process.pid for process in runs(self._stack.mark) if process.flow_run == run["id"]]
        text = (
            f"{run['name']} ({run['id']}) is {state['name']} since {state['timestamp']}, message {state['message']!r},"
            f" processes {alive}; {'; '.join(stand) or 'no open take'}"
        )
        self.by_hand.append(text)
        print(f"by hand: {text}")

    def _resume(self) -> str:
        """Resume all jobs and return the name of the final state."""
        self._resumes += 1
        run_id = self._stack.api.start("resume", f"resume-{self._resumes}", {"target": "all"})
        if not self._until(lambda: self._has_ended(run_id), BY_HAND_SECONDS):
            self._note("I14", f"resume {self._resumes} did not end within {BY_HAND_SECONDS:g} s")
        return str(self._stack.api.run(run_id)["state"]["name"])

    def _has_ended(self, run_id: str) -> bool:
        try:
            return self._stack.api.run(run_id)["state"]["type"] in {"COMPLETED", "FAILED", "CANCELLED"}
        except ServerAway:
            return False

    def _check_everything_ended(self) -> None:
        for take in open_takes(self._records):
            self._note("I14", f"{take.session_id} of {take.job_id}: {described(take)} after a resume by hand")
        for order in self._untouched():
            self._note("I14", f"{order.token}: run {order.run_id} was never begun")

    def _check_that_a_second_resume_does_nothing(self) -> None:
        # A run that resumes late still has work to do. Then this is measured again.
        while True:
            self._until(lambda: not runs(self._stack.mark), BY_HAND_SECONDS)
            starts, before = self._starts(), self._standing()
            ended = self._resume()
            after = self._standing()
            if self._starts() == starts:
                break
        if ended != "Completed":
            self._note("I10", f"a second resume ended as {ended}")
        for name in sorted({name for name, _ in before ^ after}):
            self._note("I10", f"a second resume submitted or wrote: {name}")

    def _starts(self) -> list[int]:
        """Return the number of starts of each order's run."""
        starts = self._stack.api.starts()
        return [starts.get(str(order.run_id), 0) for order in self._orders]

    def _standing(self) -> set[tuple[str, object]]:
        """Return all submits and all files of the storage."""
        submits = set(Ledger.read(self._stack.ledger_file).submits.items())
        files = [path for path in self._stack.storage.rglob("*") if path.is_file()]
        return submits | {(str(path), (path.stat().st_mtime_ns, path.read_bytes())) for path in files}

    def _check_slots(self) -> None:
        if not self._until(lambda: self._held_slots() == 0, LEASE_SECONDS):
            self._note("I14", f"{self._held_slots()} slots of the limit {LIMIT} are held by nobody, for ever")

    def _held_slots(self) -> int:
        return self._stack.api.held_slots(LIMIT)

    def _note(self, invariant: str, text: str) -> None:
        self.violations.append(Violation(invariant, text))
