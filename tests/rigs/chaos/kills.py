"""The kills: which target is next, at which moment, and who exactly is struck."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.rigs.chaos.processes import Process, kill, marked, runs
from tests.rigs.chaos.stack import Service, Stack

# Most of a short run is Prefect's own start: so many kills wait for a run that is buying.
BUYING_SHARE = 0.75


class Target(StrEnum):
    """What is killed in a round."""

    WORKER = "worker"
    RUN = "run"
    SERVER = "Prefect server"
    RUNWARE = "local Runware"
    RECOVERY = "recovery"
    WORKER_AND_RUN = "worker and run"
    EVERYTHING = "everything"

    @property
    def fault(self) -> str:
        """Name the kill as a fault."""
        return f"kill -9: {self}"


@dataclass(frozen=True)
class Kill:
    """A kill to come: seconds until it strikes, counted from the first take in flight if it is to hit a purchase,
    and seconds until what was killed is started again."""

    target: Target
    while_buying: bool
    after: float
    away: float


def planned(rounds: int, seed: str) -> Iterator[Kill]:
    """Plan the kills: every target once before any comes again, in an order and at moments that the seed decides."""
    chance = random.Random(seed)
    left: list[Target] = []
    for _ in range(rounds):
        if not left:
            left = chance.sample(list(Target), len(Target))
        while_buying = chance.random() < BUYING_SHARE
        after = chance.uniform(0, 5) if while_buying else chance.uniform(1, 7)
        yield Kill(left.pop(), while_buying, after, away=chance.uniform(0.3, 3))


class Killer:
    """Strikes at a stack; says who was struck."""

    def __init__(self, stack: Stack, is_buying: Callable[[str | None], bool], seed: str) -> None:
        self._stack, self._is_buying = stack, is_buying
        self._chance = random.Random(seed)

    def buying(self, alive: list[Process]) -> list[Process]:
        """Return those of the runs that are buying now."""
        return [run for run in alive if self._is_buying(run.flow_run)]

    def strike(self, target: Target, alive: list[Process]) -> list[Service]:
        """Kill a target, a run being one of those alive, and return the services that have to be started again."""
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
