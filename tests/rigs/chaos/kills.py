"""The kills: their targets, their moments, and the processes that they hit."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.rigs.chaos.processes import Process, kill, marked, runs
from tests.rigs.chaos.stack import Service, Stack

# Most of a short run is Prefect's own start, so this share of the kills waits for a run that is buying.
BUYING_SHARE = 0.75


class Target(StrEnum):
    """The target of a kill."""

    WORKER = "worker"
    RUN = "run"
    SERVER = "Prefect server"
    RUNWARE = "local Runware"
    RECOVERY = "recovery"
    WORKER_AND_RUN = "worker and run"
    EVERYTHING = "everything"

    @property
    def fault(self) -> str:
        """Return the name of the kill as a fault."""
        return f"kill -9: {self}"


@dataclass(frozen=True)
class Kill:
    """A planned kill. `after` and `away` are the seconds until it happens and until the target is restarted.

    With `while_buying`, `after` counts from the first take in flight.
    """

    target: Target
    while_buying: bool
    after: float
    away: float


def planned(rounds: int, seed: str) -> Iterator[Kill]:
    """Plan the kills. The seed determines order and moments. Each target is hit once before any is hit again."""
    chance = random.Random(seed)
    left: list[Target] = []
    for _ in range(rounds):
        if not left:
            left = chance.sample(list(Target), len(Target))
        while_buying = chance.random() < BUYING_SHARE
        after = chance.uniform(0, 5) if while_buying else chance.uniform(1, 7)
        yield Kill(left.pop(), while_buying, after, away=chance.uniform(0.3, 3))


class Killer:
    """Kills the processes of a stack."""

    def __init__(self, stack: Stack, is_buying: Callable[[str | None], bool], seed: str) -> None:
        self._stack, self._is_buying = stack, is_buying
        self._chance = random.Random(seed)

    def buying(self, alive: list[Process]) -> list[Process]:
        """Return the runs that are buying now."""
        return [run for run in alive if self._is_buying(run.flow_run)]

    def strike(self, target: Target, alive: list[Process]) -> list[Service]:
        """Kill a target, or one of the living runs, and return the services that must be restarted."""
        match target:
            case Target.RUN:
                kill(self._choose_run(alive).pid)
                return []
            case Target.WORKER_AND_RUN:
                return self._strike_worker_with_its_runs(alive)
            case Target.EVERYTHING:
                return self._strike_everything()
        return self._down(self._service(target))

    def _service(self, target: Target) -> Service:
        one_each = {
            Target.SERVER: self._stack.server,
            Target.RUNWARE: self._stack.runware,
            Target.RECOVERY: self._stack.recovery,
        }
        return one_each.get(target) or self._chance.choice(self._stack.workers)

    def _choose_run(self, alive: list[Process]) -> Process:
        buying = self.buying(alive) if self._chance.random() < BUYING_SHARE else []
        return self._chance.choice(buying or alive)

    def _strike_worker_with_its_runs(self, alive: list[Process]) -> list[Service]:
        parent = self._choose_run(alive).parent
        struck = [worker for worker in self._stack.workers if worker.pid == parent] or self._stack.workers[:1]
        children = [run for run in runs(self._stack.mark) if run.parent == parent]
        down = self._down(*struck)
        for run in children:
            kill(run.pid)
        return down

    def _strike_everything(self) -> list[Service]:
        for process in marked(self._stack.mark):
            kill(process.pid)
        return self._down(*self._stack.services)

    def _down(self, *services: Service) -> list[Service]:
        for service in services:
            service.kill()
        return list(services)
