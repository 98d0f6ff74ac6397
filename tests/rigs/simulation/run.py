"""Runs a seed: the plan under its faults, a resume without faults, and the checks."""

import asyncio
import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NoReturn
from unittest.mock import patch
from uuid import UUID

from adreel.errors import AdreelError, InputError, StorageError
from adreel.models.parts import PARTS, kind_of, scenario_of
from adreel.models.sessions import SceneChanges, Session
from adreel.models.spend import MICROS, Price
from adreel.models.takes import AttemptState
from adreel.purchase.jobs import open_scenes
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from adreel.storage.marker import MARKER
from tests.factories import make_session
from tests.rigs.faulty_storage import StorageFaults
from tests.rigs.invariants import Violation, check_accounts, check_decoded, check_idle_storage, check_kept
from tests.rigs.simulation import files
from tests.rigs.simulation.buyer import resume, run_job
from tests.rigs.simulation.plan import Plan
from tests.rigs.simulation.provider import USD, Socket
from tests.rigs.simulation.world import Process, World

JOB = "job-1"
REGENERATION = "job-2"
IMAGE = Path(__file__).with_name("frame.png")
RESUMES = 4
BUDGET = "all"
PRICE = round(USD * files.SECONDS * MICROS)
"""Micro-dollars of a clip, and of any other file: what the provider bills."""
ENOUGH = 1000 * PRICE
LONG_AFTER = timedelta(days=3)
FIRST_WITH_ADDITIONS = 100_000
"""The seeds before it buy clips alone, as the ones in the first table of docs/reliability.md did."""
CHANGES = {
    "clip": SceneChanges(visual_description="another view of it"),
    "still": SceneChanges(visual_description="another view of it"),
    "voice": SceneChanges(dialog_narration="Other light."),
    "music": SceneChanges(background_music="another tune"),
}
"""The changes of a regenerated part."""
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - a disk would only be waited for


@dataclass(frozen=True)
class Outcome:
    """The result of a seed."""

    seed: int
    faults: frozenset[str]
    violations: tuple[Violation, ...]
    story: tuple[str, ...]
    trace: str
    """A digest of all stored and sent data."""


def simulate(seed: int) -> Outcome:
    """Run one seed."""
    dice = Random(f"adreel/{seed}")
    random.seed(seed)
    # Chosen by the seed's number, not by its random generator, so that other seeds keep their plans.
    plan = replace(Plan.rolled(dice), has_image=seed % 4 == 0)
    if seed >= FIRST_WITH_ADDITIONS:
        plan = plan.with_additions(Random(f"additions/{seed}"))
    if seed % 2 == 0:
        plan = plan.with_budget(Random(f"budget/{seed}"))
    world = World(dice, plan.provider_faults, plan.slots)
    with _in_world(world, is_capped=plan.budget is not None):
        run = _Run(world, plan)
        try:
            run.under_faults()
            with _on_another_machine():
                run.without_faults()
                run.a_second_time()
        except InputError as error:
            world.witness.add_violation("I16", str(error))
        finally:
            world.unwind_processes()
    faults = (
        plan.faults
        | world.struck
        | set(world.provider.all_struck)
        | {text.split()[0] for text in world.disk.faults.struck}
    )
    violations = tuple(dict.fromkeys(world.witness.violations))
    return Outcome(seed, frozenset(faults), violations, tuple(world.story), _trace(world))


def _trace(world: World) -> str:
    digest = hashlib.sha256(repr([(one.name, one.moments, one.died_at) for one in world.processes]).encode())
    for path, content in sorted(world.disk.files.items()):
        # The marker id of each storage differs.
        if not path.endswith(f"/{MARKER}"):
            digest.update(path.encode() + content)
    digest.update(repr(world.provider.ledger.report()).encode())
    return digest.hexdigest()


class _Run:
    """The execution of one seed."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world, self.plan = world, plan
        self.lives = 0
        world.records().save_session(_session_of(plan))
        if plan.budget is not None:
            Budgets(world.records()).set(BUDGET, plan.budget * PRICE)
        world.disk.faults = StorageFaults(plan.disk_faults)

    def under_faults(self) -> None:
        """Run the jobs under the plan."""
        plan, world = self.plan, self.world
        first = self._live(JOB)
        if plan.twin_at is not None:
            world.at(plan.twin_at, lambda: self._live(JOB))
        if plan.regenerate_at is not None:
            world.at(plan.regenerate_at, lambda: self._live(REGENERATION))
        if plan.stall_at is not None:
            world.at(plan.stall_at, lambda: self._stall(first))
        if plan.cancel_at is not None:
            world.at(plan.cancel_at, first.cancel)
        if plan.provider_down is not None:
            at, seconds = plan.provider_down
            world.at(at, lambda: world.provider.go_down(seconds))
        if plan.reconcile_at is not None:
            world.at(plan.reconcile_at, self._reconcile)
        if plan.clock_jump is not None:
            at, jump = plan.clock_jump
            world.at(at, lambda: setattr(world, "clock_jump", timedelta(seconds=jump)))
        world.run()

    def without_faults(self) -> None:
        """Remove the faults, resume as often as necessary, and check every invariant."""
        world = self.world
        world.provider.heal()
        world.disk.faults.clear()
        if self.plan.budget is not None:
            Budgets(world.records()).set(BUDGET, ENOUGH)
        for _ in range(RESUMES):
            self._resume()
            if not self._unfinished_scenes():
                break
            if any(take.is_in_doubt for part in PARTS for take in world.records().takes("ad", part)):
                # Its task is looked up once no other run can send it.
                world.clock_jump += LONG_AFTER
        else:
            for text in self._unfinished_scenes():
                world.witness.add_violation("I10", f"still open after {RESUMES} resumes: {text}")
        self._check_invariants()

    def a_second_time(self) -> None:
        """Resume once more: nothing may be sent and, unless a take is still open, nothing written."""
        world = self.world
        is_open = bool(open_scenes(world.records(), self._settings(), "all"))
        writes, submits = world.disk.writes, dict(world.provider.ledger.submits)
        self._resume()
        if dict(world.provider.ledger.submits) != submits:
            world.witness.add_violation("I10", "a second resume sent something")
        if world.disk.writes != writes and not is_open:
            world.witness.add_violation("I10", "a second resume wrote something")

    def _live(self, job_id: str) -> Process:
        self.lives += 1
        process = self.world.process(f"{job_id}-{self.lives}", self._settings(), {job_id})
        if job_id == JOB and self.plan.kills:
            process.dies_at_moment = self.plan.kills.pop()
            process.on_death = lambda: self.world.at(self.world.dice.uniform(1, 100), lambda: self._live(JOB))
        return self.world.start(process, self._job)

    async def _job(self, process: Process) -> None:
        [job_id] = process.jobs
        again = self.plan.again or self.plan.parts[0]
        parts = self.plan.parts if job_id == JOB else [again]
        changes = None if job_id == JOB else CHANGES[kind_of(again)]
        try:
            await run_job(self.world.records(), process.settings, self.world, job_id, parts, changes)
        except AdreelError as error:
            self.world.tell(f"ends with {error}")

    def _resume(self) -> None:
        self.lives += 1
        process = self.world.process(f"resume-{self.lives}", self._settings(), {JOB, REGENERATION})

        async def work(process: Process) -> None:
            await resume(self.world.records(), process.settings, self.world)

        self.world.start(process, work)
        self.world.run()
        if error := process.error:
            self.world.witness.add_violation("I10", f"a resume without faults ends with {error!r}")

    def _reconcile(self) -> Process:
        """Reconcile the budgets in a process of its own."""
        self.lives += 1
        process = self.world.process(f"reconcile-{self.lives}", self._settings(), {JOB, REGENERATION})

        async def work(_process: Process) -> None:
            with suppress(StorageError):
                await asyncio.to_thread(Budgets(self.world.records()).reconcile)

        return self.world.start(process, work)

    def _check_budget(self) -> None:
        """Check that everything sent is accounted for, and that what may still be billed is held."""
        # The hold of a job that failed before it was recorded is released after a while.
        self.world.clock_jump += LONG_AFTER
        self._reconcile()
        self.world.run()
        records = self.world.records()
        takes = [take for part in PARTS for take in records.takes("ad", part)]
        attempts = [(take, attempt) for take in takes for attempt in take.attempts]
        bills = [take.cost_of(attempt) for take, attempt in attempts if attempt.is_final]
        spent = sum(PRICE if bill is None else round(bill * MICROS) for bill in bills)
        unsettled = {str(attempt.uuid) for _, attempt in attempts if not attempt.is_final and attempt.is_open}
        record = records.budgets()
        found = record.budgets[BUDGET].accounts["all"].spent
        if found != spent:
            self.world.witness.add_violation("I17", f"{found} are counted, and {spent} were spent")
        if set(record.open) != unsettled:
            self.world.witness.add_violation(
                "I17", f"{sorted(record.open)} are held, {sorted(unsettled)} may be billed"
            )

    def _settings(self) -> Settings:
        changed = self.plan.changed_settings and self.lives > 1
        return _settings(changed=changed, attempts=self.plan.attempts, deadline=self.plan.deadline)

    def _stall(self, process: Process) -> None:
        process.stalled_until = self.world.clock.now + 60
        self.world.tell(f"{process.name} is blocked for 60 s")

    def _unfinished_scenes(self) -> list[str]:
        """Return the scenes that a resume would continue, except accepted ones that Runware does not know."""
        left = []
        for job, scenarios in open_scenes(self.world.records(), self._settings(), "all"):
            for scenario in scenarios:
                take = self.world.records().take(job.session_id, scenario, job.job_id)
                attempt = take.attempts[-1] if take and take.attempts else None
                is_lost_to_runware = attempt and self.world.provider.ledger.find(str(attempt.uuid)) is None
                if not (attempt and attempt.state == AttemptState.ACCEPTED and is_lost_to_runware):
                    left.append(f"{job.job_id} {scenario}: {attempt}")
        return left

    def _check_invariants(self) -> None:
        world = self.world
        for check in (check_idle_storage, check_kept):
            world.witness.violations += check(world.records(), world.provider.ledger)
        world.witness.violations += check_decoded(world.records())
        world.witness.violations += check_accounts(world.records(), world.provider.ledger, self.plan.attempts)
        if self.plan.budget is not None:
            self._check_budget()
        for entry in world.provider.ledger.entries:
            take = self._take_of(entry.uuid)
            if take is not None and take.request.model != entry.model:
                world.witness.add_violation("I1", f"{entry.uuid} was bought as something else than was planned")
        for process in world.processes:
            if (error := process.error) and not isinstance(error, AdreelError):
                world.witness.add_violation("I13", f"{process.name} ends with {error!r}")

    def _take_of(self, uuid: str) -> Any:
        records = self.world.records()
        takes = [take for part in PARTS for take in records.takes("ad", part)]
        return next((take for take in takes if any(str(one.uuid) == uuid for one in take.attempts)), None)


def _session_of(plan: Plan) -> Session:
    session = make_session(seconds=files.SECONDS)
    for part in plan.parts:
        scenario = scenario_of(part)
        scene = session.scene(scenario) if scenario else None
        if scene and kind_of(part) == "voice":
            scene.dialog_narration = "New light."
        if scene and plan.has_image and part == plan.parts[0] == scenario:
            scene.first_frame = str(IMAGE)
        if scene and plan.has_image and kind_of(part) == "still" and scenario not in plan.parts:
            scene.references = [str(IMAGE)]
    return session


@cache
def _settings(*, changed: bool, attempts: int, deadline: float) -> Settings:
    return Settings(
        runware_url="ws://127.0.0.1:1/v1",
        ADREEL_STORAGE="memory://sim",
        ADREEL_MODEL="lightricks:ltx@2.3" if changed else "bytedance:2@2",
        ADREEL_SIZE="64x64" if changed else "64x48",
        ADREEL_ATTEMPTS=attempts,
        ADREEL_DEADLINE=deadline,
    )


@contextmanager
def _on_another_machine() -> Iterator[None]:
    def refuse(file: str, _field: str = "first_frame") -> NoReturn:
        raise InputError(f"{file!r} is on another machine")

    with ExitStack() as stack:
        for target in (
            "adreel.purchase.request.check_image",
            "adreel.records.inputs.read_image",
        ):
            stack.enter_context(patch(target, refuse))
        yield


@contextmanager
def _in_world(world: World, *, is_capped: bool) -> Iterator[None]:
    def now() -> datetime:
        return world.now()

    def uuid() -> UUID:
        return UUID(int=world.dice.getrandbits(128), version=4)

    with ExitStack() as stack:
        for target, stand_in in (
            ("runware.Runware", Socket),
            ("adreel.purchase.download.download", world.provider.download),
            ("adreel.purchase.download.probe", files.probe),
            ("adreel.purchase.posters.draw", files.draw),
            ("adreel.models.takes.utc_now", now),
            ("adreel.purchase.state_machine.utc_now", now),
            ("adreel.purchase.jobs.utc_now", now),
            ("adreel.records.store.utc_now", now),
            ("adreel.purchase.uploads.utc_now", now),
            ("adreel.spend.budgets.utc_now", now),
            ("adreel.models.spend.uuid4", uuid),
            # These marks draw no number, so the seeds without a budget keep their runs.
            ("adreel.purchase.jobs.new_mark", partial(next, (f"runner-{number}" for number in count(1)))),
            ("adreel.runware.client.uuid4", uuid),
            # The catalogue and the bills that an earlier run has read would save this one a read.
            ("adreel.catalog.stored._read", {}),
            ("adreel.spend.bills._read", {}),
            ("tempfile.tempdir", MEMORY),
        ):
            stack.enter_context(patch(target, stand_in))
        if is_capped:
            priced = Price(amount=PRICE, source="listed")
            stack.enter_context(patch("adreel.purchase.jobs.price", lambda *_, **__: priced))
        yield
