"""The plan of a seed: jobs, faults, and their times."""

from dataclasses import dataclass, replace
from random import Random

from adreel.emulator.clip_faults import POINTS
from adreel.emulator.faults import KINDS, SCENARIOS, Point
from adreel.models.parts import PARTS, Addition, Part, kind_of
from adreel.models.scenarios import Scenario
from tests.rigs.faulty_storage import ERRORS

MOMENTS = 120
SECONDS = 40
CAPPED = "capped"
"""Name of the plans with a budget."""
OF_ADDITIONS = {Point.SOUND, Point.STILL}
FAULTS_OF_CLIPS = sorted(name for name, kind in KINDS.items() if kind.point not in OF_ADDITIONS)
MOST_ADDITIONS = 5
MOMENTS_OF_ADDITIONS = 250


@dataclass(frozen=True)
class Plan:
    """One simulated run."""

    provider_faults: list[str]
    disk_faults: list[str]
    parts: list[Part]
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
    """Whether the first clip, and stills without a clip, start from a local image that is deleted after the faults."""
    budget: int | None = None
    """Number of clips that a cap on all spend pays for, until the faults are over; None without a budget."""
    reconcile_at: float | None = None
    again: Part | None = None
    """The part that is regenerated; None for the first one."""

    @classmethod
    def rolled(cls, dice: Random) -> "Plan":
        """Draw a plan from the random generator."""
        return cls(
            provider_faults=[_fault(dice) for _ in range(dice.choice([0, 1, 1, 2, 3]))],
            disk_faults=[_disk_fault(dice) for _ in range(dice.choice([0, 0, 0, 1, 2]))],
            parts=sorted(dice.sample(list(Scenario), dice.choice([1, 1, 2, 4])), key=PARTS.index),
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
        attempts = len(self.parts) * self.attempts
        return replace(self, budget=dice.randint(0, attempts + 2), reconcile_at=_perhaps(dice, 0.6))

    def with_additions(self, dice: Random) -> "Plan":
        """Return the plan with voices, music and stills, and with faults of them. One in four has no clips."""
        added = dice.sample(list(Addition), dice.randint(1, MOST_ADDITIONS))
        parts = sorted([*(self.parts if dice.random() < 0.75 else ()), *added], key=PARTS.index)
        faults = [_fault_of(dice, dice.choice(parts)) for _ in self.provider_faults]
        odd = dice.choice(added)
        return replace(
            self,
            parts=parts,
            provider_faults=[*faults, *([_file_fault(dice, odd)] if dice.random() < 0.3 else ())],
            kills=[dice.randint(1, MOMENTS_OF_ADDITIONS) for _ in self.kills],
            again=dice.choice(parts),
        )

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
            **{f"buys {name}": True for name in sorted({kind_of(part) for part in self.parts} - {"clip"})},
        }
        return {name for name, what in planned.items() if what is not None}


def _perhaps(dice: Random, chance: float) -> float | None:
    at = dice.uniform(0, SECONDS)
    return at if dice.random() < chance else None


def _disk_fault(dice: Random) -> str:
    return f"{dice.choice(sorted(ERRORS))}@{dice.randint(1, 40)}x{dice.randint(1, 3)}"


def _fault(dice: Random) -> str:
    name = dice.choice(FAULTS_OF_CLIPS)
    return _timed(dice, name + dice.choice(["", "", *(f":{scenario}" for scenario in SCENARIOS)]))


def _fault_of(dice: Random, part: Part) -> str:
    """Draw a fault that can strike a part, aimed at it, at its kind, or at all tasks."""
    if dice.random() < 0.1:
        return _file_fault(dice, part)
    name = dice.choice([name for name, kind in sorted(KINDS.items()) if kind.point not in POINTS.values()])
    return _timed(dice, name + dice.choice(["", _target(dice, part)]))


def _file_fault(dice: Random, part: Part) -> str:
    """Draw a fault of the file of a part."""
    name = dice.choice([name for name, kind in sorted(KINDS.items()) if kind.point == POINTS[kind_of(part)]])
    return _timed(dice, name + _target(dice, part))


def _target(dice: Random, part: Part) -> str:
    kind = kind_of(part)
    # A voice does not tell its scene.
    return f":{dice.choice([kind, kind if kind == 'voice' else part])}"


def _timed(dice: Random, fault: str) -> str:
    if dice.random() < 0.3:
        return f"{fault}%{dice.choice(['0.1', '0.3', '0.7'])}"
    return f"{fault}@{dice.choice([1, 1, 2, 3, 5])}x{dice.choice([1, 1, 2, 4, 12])}"
