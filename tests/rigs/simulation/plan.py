"""The plan of a seed: jobs, faults, and their times."""

from dataclasses import dataclass, replace
from random import Random

from adreel.emulator.faults import KINDS, SCENARIOS
from adreel.models.scenarios import Scenario
from tests.rigs.faulty_storage import ERRORS

MOMENTS = 120
SECONDS = 40
CAPPED = "capped"
"""Name of the plans with a budget."""


@dataclass(frozen=True)
class Plan:
    """One simulated run."""

    provider_faults: list[str]
    disk_faults: list[str]
    scenarios: list[Scenario]
    slots: int
    attempts: int
    deadline: float
    kills: list[int]
    """The number of the storage operation or crash point at which each process of the job dies."""
    twin_at: float | None
    regenerate_at: float | None
    stall_at: float | None
    cancel_at: float | None
    provider_down: tuple[float, float] | None
    clock_jump: tuple[float, float] | None
    changed_settings: bool
    has_image: bool = False
    """Whether the first scene starts from a local image that is deleted after the faults."""
    budget: int | None = None
    """Number of clips that a cap on all spend pays for, until the faults are over; None without a budget."""
    reconcile_at: float | None = None

    @classmethod
    def rolled(cls, dice: Random) -> "Plan":
        """Draw a plan from the random generator."""
        return cls(
            provider_faults=[_fault(dice) for _ in range(dice.choice([0, 1, 1, 2, 3]))],
            disk_faults=[_disk_fault(dice) for _ in range(dice.choice([0, 0, 0, 1, 2]))],
            scenarios=sorted(dice.sample(list(Scenario), dice.choice([1, 1, 2, 4])), key=list(Scenario).index),
            slots=dice.choice([1, 2, 4]),
            attempts=dice.choice([1, 2, 2, 3]),
            deadline=dice.choice([8, 30, 60]),
            kills=[dice.randint(1, MOMENTS) for _ in range(dice.choice([0, 0, 1, 1, 2, 3]))],
            twin_at=_perhaps(dice, 0.25),
            regenerate_at=_perhaps(dice, 0.25),
            stall_at=_perhaps(dice, 0.15),
            cancel_at=_perhaps(dice, 0.15),
            provider_down=(dice.uniform(0, SECONDS), dice.uniform(1, 90)) if dice.random() < 0.15 else None,
            clock_jump=(dice.uniform(0, SECONDS), dice.uniform(-90_000, 90_000)) if dice.random() < 0.1 else None,
            changed_settings=dice.random() < 0.2,
        )

    def with_budget(self, dice: Random) -> "Plan":
        """Return the plan under a budget. Its own random generator leaves the other plans as they are."""
        attempts = len(self.scenarios) * self.attempts
        return replace(self, budget=dice.randint(0, attempts + 2), reconcile_at=_perhaps(dice, 0.6))

    @property
    def faults(self) -> set[str]:
        """The names of the plan's events, apart from the faults of the provider and the disk."""
        planned = {
            "two runners of one job": self.twin_at,
            "regenerate midway": self.regenerate_at,
            "blocked for 60 s": self.stall_at,
            "cancel": self.cancel_at,
            "provider restarted": self.provider_down,
            "clock jump": self.clock_jump,
            "settings changed before the resume": self.changed_settings or None,
            "resumed on another machine": self.has_image or None,
            CAPPED: self.budget,
            "reconcile midway": self.reconcile_at,
        }
        return {name for name, what in planned.items() if what is not None}


def _perhaps(dice: Random, chance: float) -> float | None:
    at = dice.uniform(0, SECONDS)
    return at if dice.random() < chance else None


def _disk_fault(dice: Random) -> str:
    return f"{dice.choice(sorted(ERRORS))}@{dice.randint(1, 40)}x{dice.randint(1, 3)}"


def _fault(dice: Random) -> str:
    name = dice.choice(sorted(KINDS))
    scenario = dice.choice(["", "", *(f":{scenario}" for scenario in SCENARIOS)])
    if dice.random() < 0.3:
        return f"{name}{scenario}%{dice.choice(['0.1', '0.3', '0.7'])}"
    return f"{name}{scenario}@{dice.choice([1, 1, 2, 3, 5])}x{dice.choice([1, 1, 2, 4, 12])}"
