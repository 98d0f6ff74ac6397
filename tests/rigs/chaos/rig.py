"""One run of the rig: place orders, kill processes, wait until all runs have ended, and check the invariants."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from adreel.emulator.ledger import Ledger
from adreel.records import Records
from adreel.storage import Storage
from tests.rigs.chaos.checks import check, check_secret
from tests.rigs.chaos.kills import Kill, Killer, Target, planned
from tests.rigs.chaos.orders import Orders
from tests.rigs.chaos.processes import Process, runs
from tests.rigs.chaos.settling import Settling
from tests.rigs.chaos.stack import START_SECONDS, Stack
from tests.rigs.chaos.watch import Watch
from tests.rigs.invariants import Violation

TICK_SECONDS = 0.3
BUYING_SECONDS = 30.0


@dataclass
class Round:
    """A kill, and the violations seen until the next one."""

    target: Target
    violations: list[Violation] = field(default_factory=list)


class Rig:
    """An installation whose processes are killed."""

    def __init__(self, stack: Stack, *, seed: str, at_once: int) -> None:
        self.stack, self.seed = stack, seed
        self.records = Records(Storage(str(stack.storage)))
        self.orders = Orders(stack.api, self.records, stack.mark, at_once=at_once, seed=f"{seed}:orders")
        self.watch = Watch(self.records, stack.ledger_file, stack.mark)
        self.rounds: list[Round] = []
        self.violations: list[Violation] = []
        """All violations."""
        self._killer = Killer(stack, self.watch.is_in_flight, f"{seed}:struck")
        self._ordering = True
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds since the start."""
        return time.monotonic() - self._started

    def tick(self) -> None:
        """Place orders, check the records, and restart ended services."""
        if self._ordering:
            self.orders.tick()
        self.watch.tick()
        self.stack.keep()

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Tick until a condition holds. Returns False on a time-out."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.tick()
            time.sleep(TICK_SECONDS)
        return True

    def kill_in_turn(self, rounds: int) -> None:
        """Execute the kills."""
        for number, kill in enumerate(planned(rounds, f"{self.seed}:kills"), 1):
            seen = len(self.watch.violations)
            self._make(number, kill)
            self.rounds[-1].violations += self.watch.violations[seen:]

    def settle(self, patience: float) -> Settling:
        """Stop ordering, wait until all runs have ended, and resume the others by hand."""
        self._ordering = False
        settling = Settling(self.stack, self.records, self.orders.placed, self.until, patience)
        settling.run()
        return settling

    def collect_violations(self, settling: Settling) -> Ledger:
        """Collect all violations. New ones count for the last kill of each target."""
        ledger = Ledger.read(self.stack.ledger_file)
        self.watch.check_what_was_stored()
        late = [violation for round_ in self.rounds for violation in round_.violations]
        final = [violation for violation in self.watch.violations if violation not in late]
        final += [*settling.violations, *check(self.records, ledger, self.orders.placed)]
        final += check_secret(self.stack.folder)
        for target in Target:
            if struck := [round_ for round_ in self.rounds if round_.target is target]:
                struck[-1].violations += final
        self.violations = late + final
        return ledger

    def _make(self, number: int, kill: Kill) -> None:
        if not self.until(self.stack.is_up, START_SECONDS):
            raise TimeoutError(
                f"not everything was up again within {START_SECONDS:g} s: see {self.stack.logs} (--keep)"
            )
        if kill.while_buying:
            self.until(lambda: bool(self._killer.buying(runs(self.stack.mark))), BUYING_SECONDS)
        self.until(lambda: False, kill.after)
        alive = self._some_runs()
        standing = ", ".join(f"{count} {state}" for state, count in sorted(self.watch.standing().items()))
        down = self._killer.strike(kill.target, alive)
        self.rounds.append(Round(kill.target))
        when = f"{self.seconds:6.1f} s  round {number:3}"
        print(f"{when}  {kill.target.fault:24}  {len(alive)} runs; open takes: {standing or 'none'}")
        self.until(lambda: False, kill.away)
        for service in down:
            service.start()

    def _some_runs(self) -> list[Process]:
        alive: list[Process] = []

        def look() -> bool:
            alive[:] = runs(self.stack.mark)
            return bool(alive)

        if not self.until(look, START_SECONDS):
            raise TimeoutError(f"no run was taken up within {START_SECONDS:g} s: see {self.stack.logs} (--keep)")
        return alive
