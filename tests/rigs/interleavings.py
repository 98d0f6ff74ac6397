"""Random interleavings of runners, crashes and reconciliations under a cap, at every operation of the storage.

    python -m tests.rigs.interleavings [--runs 60000] [--first 0]

The actors are greenlets: an actor yields before each read and between the read and the put of each update, and the next
one is drawn at random. Holds, records, and the writes of the state machine are real. The provider accepts every task.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from threading import Lock
from typing import Any, cast
from unittest.mock import patch
from uuid import UUID

from fsspec import AbstractFileSystem
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from adreel.errors import NotFound, OverBudget
from adreel.models.parts import Part
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneDescription
from adreel.models.spend import UNMARKED, Price
from adreel.models.takes import AttemptState, ClipRequest, Job, Problem, Take
from adreel.purchase.holds import hold_attempt, hold_job
from adreel.purchase.jobs import end_job
from adreel.purchase.state_machine import Purchase, _HoldReleased
from adreel.records import Records
from adreel.spend.accounts import Accounts
from adreel.spend.budgets import Budgets
from adreel.spend.group_commit import GroupCommit
from adreel.storage import Storage
from adreel.storage.backend import Change, StorageBackend

PRICE = 50_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPTS = 2
CRASH = 0.02
REFUSED = 0.2
FAILED = 0.3
LONG = 40
"""Turns of the others while a runner sends, so that they can end in the meantime."""
GIVE_UP = 0.3
SCENES = (Scenario.HOOK, Scenario.PROBLEM)
REQUEST = ClipRequest(model="bytedance:2@2", prompt="a lamp")
SCENE = {scenario: SceneDescription(scenario=scenario, duration=5, visual_description="a lamp") for scenario in SCENES}


class Crash(BaseException):
    """The death of an actor's process."""


class Files(StorageBackend):
    """Files in memory, with conditional updates, that yield to the other actors."""

    atomic = True

    def __init__(self, pause: Callable[[], None]) -> None:
        super().__init__(AbstractFileSystem())
        self._contents: dict[str, bytes] = {}
        self._pause = pause

    def read(self, path: str, most: int | None = None) -> bytes:
        self._pause()
        try:
            return self._contents[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def update(self, path: str, change: Change) -> bytes | None:
        while True:
            self._pause()
            old = self._contents.get(path)
            new = change(old)
            if new is None:
                return old
            self._pause()
            if self._contents.get(path) is old:
                self._contents[path] = new
                return new

    def exists(self, path: str) -> bool:
        return any(each == path or each.startswith(f"{path}/") for each in self._contents)

    def names(self, path: str) -> list[str]:
        inside = [each.removeprefix(f"{path}/") for each in self._contents if each.startswith(f"{path}/")]
        return sorted({f"{path}/{each.split('/')[0]}" for each in inside})


class Interleaving:
    """One run: two jobs with up to two runners each, crashes, and a reconciliation, under a cap."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.violations: list[str] = []
        self.billed: dict[str, int] = {}
        self.accepted: dict[tuple[str, Part], list[str]] = {}
        self.failed: set[str] = set()
        """Tasks that were accepted and whose failure a runner has seen."""
        self.died_in: set[str] = set()
        """Tasks in whose submit a runner has died."""
        self._is_calm = True
        self._files = Files(self._pause)
        self._actors: list[greenlet] = []
        self._marks = (UUID(int=self.dice.getrandbits(128), version=4) for _ in iter(int, 1))
        self.cap = self.dice.randint(1, 6)

    def run(self) -> list[str]:
        """Run the actors in a random order, then everything that is open to its end, and return the violations."""
        patches = {
            "adreel.spend.budgets._commits": _NoSharing(),
            "adreel.models.spend.uuid4": lambda: next(self._marks),
        }
        with _patched(patches):
            Budgets(self.records()).set("all", self.cap * PRICE)
            self._is_calm = False
            for job_id in ("job-1", "job-2"):
                for _ in range(self.dice.choice([1, 2, 2])):
                    self._actors.append(greenlet(partial(self._runner, job_id)))
            self._actors.append(greenlet(self._reconciler))
            while self._actors:
                actor = self.dice.choice(self._actors)
                # A long turn lets one runner finish while another sleeps between two operations.
                for _ in range(self.dice.choice([1, 1, 3, 10, 40])):
                    actor.switch()
                    if actor.dead:
                        self._actors.remove(actor)
                        break
            self._is_calm = True
            self._finish()
        return self.violations

    def records(self) -> Records:
        """Open the records as a new process does."""
        storage = Storage("memory://interleavings", sleep=lambda _seconds: None)
        storage._files, storage.root, storage.is_atomic = self._files, "x", True
        storage.watch_marker = lambda: None  # type: ignore[method-assign]
        return Records(storage)

    def _pause(self, turns: int = 1) -> None:
        if self._is_calm:
            return
        if self.dice.random() < CRASH:
            raise Crash
        for _ in range(turns):
            cast(Any, getcurrent().parent).switch()

    def _runner(self, job_id: str) -> None:
        with suppress(Crash):
            try:
                job = self._start(job_id)
            except OverBudget:
                # A person gives up a job that was started before and is refused now.
                if found := self.records().job(job_id):
                    end_job(self.records(), found)
                return
            for scenario in SCENES:
                # A runner may give up a scene before it sends anything, as without a free slot.
                if self._is_calm or self.dice.random() > GIVE_UP:
                    with suppress(OverBudget, NotFound):
                        self._buy(job, scenario)
            end_job(self.records(), job)

    def _reconciler(self) -> None:
        for _ in range(6):
            with suppress(Crash):
                Budgets(self.records()).reconcile()

    def _start(self, job_id: str) -> Job:
        records = self.records()
        new = Job(job_id=job_id, session_id="ad", scenarios=list(SCENES), created_at=NOW)
        recorded = [take for each in SCENES if (take := records.take("ad", each, job_id))]
        known = {take.scenario for take in recorded}
        planned = [_planned(job_id, scenario) for scenario in SCENES if scenario not in known]
        holds = hold_job(records, new, [*recorded, *planned], ATTEMPTS)
        job = records.update_job(job_id, lambda latest: latest.model_copy(update={"ended_at": None}) if latest else new)
        for take in planned:
            records.save_take(take)
        return (job or new).model_copy(update={"holds": holds})

    def _buy(self, job: Job, scenario: Scenario) -> None:
        take = self._take(scenario, job.job_id)
        while take is not None and take.can_continue(ATTEMPTS):
            purchase = self._purchase(job, take)
            if take.is_in_doubt:
                self._end_doubt(purchase)
                take = self._take(scenario, job.job_id)
                continue
            if not take.attempts or take.attempts[-1].state == AttemptState.FAILED:
                take.plan_attempt(NOW)
            while purchase._attempt.state == AttemptState.PLANNED:
                purchase._attempt.hold = purchase._sender = purchase.hold(purchase.take)
                try:
                    _advance(purchase, AttemptState.SUBMITTED)
                except _HoldReleased:
                    purchase._attempt.state = AttemptState.PLANNED
            while purchase._attempt.state == AttemptState.SUBMITTED:
                uuid = str(purchase._attempt.uuid)
                try:
                    if uuid in self.billed or not purchase._is_resumed or purchase._join_senders():
                        self._send(purchase)
                except Crash:
                    self.died_in.add(uuid)
                    raise
            if purchase._attempt.state == AttemptState.ACCEPTED:
                self._end(purchase)
            take = self._take(scenario, job.job_id)
            if take is not None and take.attempts and take.attempts[-1].state == AttemptState.RENDERED:
                _advance(self._purchase(job, take), AttemptState.STORED)

    def _end_doubt(self, purchase: Purchase) -> None:
        attempt = purchase._attempt
        if str(attempt.uuid) in self.billed:
            attempt.accepted_at, attempt.problem = NOW, None
            _advance(purchase, AttemptState.ACCEPTED)
        else:
            purchase.records.end_doubt(purchase.take)

    def _take(self, scenario: Scenario, job_id: str) -> Take | None:
        return self.records().take("ad", scenario, job_id)

    def _send(self, purchase: Purchase) -> None:
        self._pause(self.dice.choice([1, 1, LONG]))
        attempt, sender, uuid = purchase._attempt, purchase._sender, str(purchase._attempt.uuid)
        if uuid not in self.billed and self.dice.random() < REFUSED:
            attempt.problem = Problem(code="sceneRefused", message="refused", retryable=self.dice.random() < 0.5)
            state = AttemptState.FAILED
        else:
            if uuid not in self._budgets().open and uuid not in self.billed:
                self.violations.append(f"{uuid} was sent without a hold")
            if uuid not in self.billed:
                self._check_first(purchase.take, uuid)
            self.billed.setdefault(uuid, PRICE)
            if sum(self.billed.values()) > self.cap * PRICE:
                self.violations.append(f"{len(self.billed)} tasks were sent under a cap for {self.cap}")
            attempt.accepted_at, state = NOW, AttemptState.ACCEPTED
        self._pause()
        _advance(purchase, state)
        if purchase._attempt is not attempt:
            purchase.records.answer_sender(purchase.take, attempt, sender)

    def _check_first(self, take: Take, uuid: str) -> None:
        """Check that each task that was accepted for the scene before is known to have failed."""
        accepted = self.accepted.setdefault((take.job_id, take.scenario), [])
        for earlier in accepted:
            if earlier not in self.failed:
                self.violations.append(f"{uuid} was bought beside {earlier} for one scene")
        accepted.append(uuid)

    def _end(self, purchase: Purchase) -> None:
        attempt = purchase._attempt
        if Random(attempt.uuid.int).random() < FAILED:
            self.failed.add(str(attempt.uuid))
            attempt.problem = Problem(code="renderFailed", message="failed", retryable=True)
            _advance(purchase, AttemptState.FAILED)
        else:
            attempt.cost = PRICE / 1e6
            _advance(purchase, AttemptState.RENDERED)

    def _purchase(self, job: Job, take: Take) -> Purchase:
        purchase = Purchase.__new__(Purchase)
        purchase.take, purchase.records = take, self.records()
        purchase.hold = partial(hold_attempt, purchase.records, job)
        purchase.mark, purchase._sender = job.holds.mark if job.holds else UNMARKED, None
        purchase._is_resumed, purchase._recorded_position = take.is_open, take.position
        purchase._write_lock = Lock()
        return purchase

    def _finish(self) -> None:
        for job_id in ("job-1", "job-2"):
            self._runner(job_id)
        doubtful = self._doubtful()
        if doubtful - self.died_in:
            self.violations.append(f"{doubtful - self.died_in} stay in doubt, and each of their runners had an answer")
        passed = timedelta(days=-1000)
        with _patched(
            dict.fromkeys(("adreel.spend.budgets.SUBMIT_DEADLINE", "adreel.models.takes.SUBMIT_DEADLINE"), passed)
        ):
            if is_reconciled_first := self.dice.random() < 0.5:
                Budgets(self.records()).reconcile()
            for job_id in ("job-1", "job-2"):
                self._runner(job_id)
            Budgets(self.records()).reconcile()
        self._check_end(doubtful if is_reconciled_first else self._doubtful())

    def _check_end(self, unknown: set[str]) -> None:
        """Check the money and the clips. An unknown task counts with its estimate, whether it was accepted or not."""
        record = self._budgets()
        spent = record.budgets["all"].accounts["all"].spent
        if record.open:
            self.violations.append(f"{len(record.open)} tasks stay held")
        if spent != sum((dict.fromkeys(unknown, PRICE) | self.billed).values()):
            self.violations.append(f"{spent} are counted, not {sum(self.billed.values())}")
        stored = {str(take.attempts[-1].uuid) for take in self._takes() if take.is_stored}
        # A job that a budget refuses does not ask about its tasks in doubt.
        if lost := self.billed.keys() - self.failed - stored - self._doubtful():
            self.violations.append(f"{lost} are paid and not stored")

    def _takes(self) -> list[Take]:
        return [take for job_id in ("job-1", "job-2") for each in SCENES if (take := self._take(each, job_id))]

    def _doubtful(self) -> set[str]:
        return {str(attempt.uuid) for take in self._takes() for attempt in take.attempts if attempt.is_in_doubt}

    def _budgets(self) -> Any:
        calm, self._is_calm = self._is_calm, True
        record = self.records().budgets()
        if Accounts(record).used("all", "all") > self.cap * PRICE:
            self.violations.append("more is spent and held than the cap allows")
        self._is_calm = calm
        return record


class _NoSharing(dict[str, GroupCommit]):
    """Gives each actor a group commit of its own: it is a process of its own."""

    def setdefault(self, _key: str, default: GroupCommit) -> GroupCommit:
        return default


@contextmanager
def _patched(patches: dict[str, object]) -> Iterator[None]:
    started = [patch(target, stand_in) for target, stand_in in patches.items()]
    for each in started:
        each.start()
    try:
        yield
    finally:
        for each in started:
            each.stop()


def _planned(job_id: str, scenario: Scenario) -> Take:
    return Take(
        session_id="ad",
        scenario=scenario,
        job_id=job_id,
        created_at=NOW,
        updated_at=NOW,
        scene=SCENE[scenario],
        request=REQUEST,
        price=Price(amount=PRICE, source="listed"),
    )


def _advance(purchase: Purchase, state: AttemptState) -> None:
    purchase.take.advance(state)
    purchase._write()


def violations_of(seeds: range) -> list[str]:
    """Return the violations of some runs, each with its seed."""
    return [f"{seed}: {text}" for seed in seeds for text in Interleaving(seed).run()]


def main() -> int:
    """Run the interleavings of the command line. Returns 1 if there are violations."""
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.interleavings", description=__doc__)
    parser.add_argument("--runs", type=int, default=60_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    found = violations_of(range(options.first, options.first + options.runs))
    print(*found[:20], f"{options.runs:,} interleavings, {len(found)} violations", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
