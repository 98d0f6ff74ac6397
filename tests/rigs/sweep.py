"""The crash-point sweep: stops a purchase at each crash point in turn, resumes it with fresh objects, and checks every
invariant by the emulator's ledger, on a real disk or any other storage.

    python -m tests.rigs.sweep [FAULT ...]     all faults of the emulator by default
"""

import argparse
import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from adreel.emulator import LocalRunware
from adreel.emulator.faults import KINDS
from adreel.errors import AdreelError, InputError, StorageError
from adreel.models.scenarios import Scenario
from adreel.models.spend import MICROS, to_micros
from adreel.models.takes import AttemptState, Job, Take
from adreel.purchase import shared_client
from adreel.purchase.jobs import buy_scene, open_scenes, resume_job, start_job
from adreel.records import Records
from adreel.runware import RunwareClient, Timing
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from adreel.storage import Storage
from adreel.storage.crash_points import visit_crash_points
from adreel.storage.versions import versions_of
from tests.factories import make_session, write_image
from tests.rigs.invariants import IDLE_INVARIANTS, Violation, check_idle_storage, check_kept
from tests.rigs.tally import NO_FAULT, Tally

JOB = "job-1"
SENT = {str(state) for state in AttemptState} - {str(AttemptState.PLANNED)}
QUICK = Timing(acknowledge=0.5, doubt=0.1, look=0.1, silence=0.5, poll_least=0.02, poll_most=0.02, back_off_most=0.05)
MOST_POINTS = 200
ENOUGH = 1000 * MICROS
MOST_TRIES = 12
PEOPLE_ACT = 2
"""Number of resumes after an error that needs a person (no credits, an unknown host)."""
CHECKED = (*IDLE_INVARIANTS, "I10", "I15", "I17")
LASTING = {"neverEnds", "conflictWithoutTask", "contentPolicy", "invalidModel", "invalidParameter"}
"""Faults after which no run can download the clip until a person buys it again."""


class Crash(BaseException):
    """Simulates the death of the process."""


@dataclass
class Swept:
    """The result of a sweep under one fault."""

    runs: int = 0
    points: set[str] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)

    def see(self, invariant: str, where: str, *texts: str) -> None:
        """Record violations."""
        self.violations += [Violation(invariant, f"{where}: {text}") for text in texts]


class Life:
    """One storage and one provider for all processes of a purchase."""

    def __init__(
        self, server: LocalRunware, url: str, image: Path, options: dict[str, Any] | None = None, *, key: str = ""
    ) -> None:
        self.server = server
        self.image = image
        self.settings = Settings(
            runware_url=server.url,
            runware_api_key=key,
            ADREEL_STORAGE=url,
            ADREEL_STORAGE_OPTIONS=json.dumps(options or {}),
            ADREEL_MODEL="bytedance:2@2",
            ADREEL_ATTEMPTS=3,
            ADREEL_DEADLINE=1,
        )
        # The settings' size is for scenes without an image only. The provider would render 720p.
        session = make_session(seconds=2, size="64x64")
        session.scene(Scenario.HOOK).first_frame = str(write_image(image))
        self.records.save_session(session)
        Budgets(self.records).set("all", ENOUGH)

    def move(self) -> None:
        """Move to another machine: copy a local storage, and delete the local image."""
        self.image.unlink()
        if self.records.storage.is_local:
            folder = Path(self.settings.storage)
            shutil.copytree(folder, elsewhere := folder.with_name(f"{folder.name}-elsewhere"))
            self.settings = self.settings.model_copy(update={"storage": str(elsewhere)})

    @property
    def records(self) -> Records:
        """Open the records as a new process does."""
        return Records(Storage.from_settings(self.settings))

    @property
    def take(self) -> Take | None:
        """Read the take."""
        return self.records.take("ad", Scenario.HOOK, JOB)

    async def live(self, crash_at: int | None = None) -> tuple[list[str], AdreelError | None]:
        """Buy the scene with the task's retries. Returns the crash points reached and the final error."""
        reached: list[str] = []
        self._forget()

        def visit(name: str) -> None:
            reached.append(name)
            if len(reached) == crash_at:
                raise Crash(name)

        with visit_crash_points(visit):
            try:
                return reached, await self._buy()
            except Crash:
                return reached, None

    async def _buy(self) -> AdreelError | None:
        job = start_job(self.records, self.settings, JOB, "ad", scenarios=[Scenario.HOOK])
        ended = await self._try(job)
        Budgets(self.records).settle(job)
        return ended

    async def _try(self, job: Job) -> AdreelError | None:
        ended: AdreelError | None = None
        for _ in range(MOST_TRIES):
            try:
                await buy_scene(self.records, self.settings, job, Scenario.HOOK)
            except AdreelError as error:
                ended = error
                if not error.retryable:
                    break
            else:
                return None
        return ended

    def _forget(self) -> None:
        # A new process knows no version of a record.
        versions_of(self.records.storage.fs).clear()

    async def resume(self) -> None:
        """Resume the open takes."""
        self._forget()
        for job, scenarios in open_scenes(self.records, self.settings, "all"):
            resumed = resume_job(self.records, self.settings, job)
            for scenario in scenarios:
                with suppress(AdreelError):
                    await buy_scene(self.records, self.settings, resumed, scenario)


async def sweep(fault: str, folder: Path | str, options: dict[str, Any] | None = None, *, key: str = "") -> Swept:
    """Crash at each point in turn under one fault ("" for none), then resume. The folder can be a storage's URL.

    With a key, the image is uploaded.
    """
    swept = Swept()
    with (
        patch.object(shared_client, "RunwareClient", partial(RunwareClient, timing=QUICK)),
        tempfile.TemporaryDirectory() as images,
    ):
        for crash_at in range(1, MOST_POINTS):
            async with LocalRunware(render_seconds=0, drip_seconds=0, faults=[fault] if fault else []) as server:
                life = Life(server, f"{folder}/{crash_at}", Path(images) / f"{crash_at}.png", options, key=key)
                reached, _ = await life.live(crash_at)
                swept.points |= set(reached)
                where = f"crash {crash_at} at {reached[-1]!r}"
                try:
                    await _resume_and_check(swept, life, fault, where)
                except StorageError as error:
                    swept.see("I11", where, str(error))
                except InputError as error:
                    swept.see("I16", where, str(error))
                swept.runs += 1
                if len(reached) < crash_at:
                    return swept
    raise AssertionError(f"a purchase has more than {MOST_POINTS} crash points")


async def _resume_and_check(swept: Swept, life: Life, fault: str, where: str) -> None:
    before = life.take
    if life.records.job(JOB):
        life.move()
    swept.see("I3", where, *_unrecorded(life))
    swept.see("I17", where, *_unheld(life))
    for _ in range(PEOPLE_ACT):
        _, error = await life.live()
        if error is None:
            break
    for check in (check_idle_storage, check_kept):
        for found in check(life.records, life.server.ledger):
            swept.see(found.invariant, where, found.text)
    swept.see("I17", where, *_wrong_budget(life))
    take = life.take
    if take is None or (before and take.progress < before.progress):
        swept.see("I8", where, "the progress has gone back")
    if not (take and (take.is_stored or take.aside)) and not fault.startswith(tuple(LASTING)):
        swept.see("I2", where, f"is not home: {error}")
    await _resume_again(swept, life, where)


async def _resume_again(swept: Swept, life: Life, where: str) -> None:
    before, submits = _contents(life), dict(life.server.ledger.submits)
    is_open = bool(open_scenes(life.records, life.settings, "all"))
    await life.resume()
    if dict(life.server.ledger.submits) != submits or (_contents(life) != before and not is_open):
        swept.see("I10", where, "a second resume did something")


def _unrecorded(life: Life) -> Iterator[str]:
    known = {str(attempt.uuid): str(attempt.state) for attempt in life.take.attempts} if life.take else {}
    return (uuid for uuid in life.server.ledger.submits if known.get(uuid) not in SENT)


def _unheld(life: Life) -> Iterator[str]:
    """Yield the tasks that may still be billed and are not held."""
    final = {str(attempt.uuid) for attempt in life.take.attempts if attempt.is_final} if life.take else set()
    return (uuid for uuid in life.server.ledger.submits if uuid not in {*final, *life.records.budgets().open})


def _wrong_budget(life: Life) -> Iterator[str]:
    """Yield what the budget counts otherwise than the records, once it is reconciled."""
    Budgets(life.records).reconcile()
    [view] = Budgets(life.records).views()
    take = life.take
    if take is None:
        return
    final = [attempt for attempt in take.attempts if attempt.is_final]
    costs = [take.estimate if (cost := take.cost_of(attempt)) is None else cost for attempt in final]
    if view.spent != sum(to_micros(cost or 0) for cost in costs):
        yield f"{view.spent} are counted, not {costs}"
    held = set(life.records.budgets().open)
    if not held <= {str(attempt.uuid) for attempt in take.attempts if attempt.is_open} | {str(take.unsent_task(99))}:
        yield f"{held} are held"


def _contents(life: Life) -> dict[str, bytes]:
    storage = life.records.storage
    paths = [path.removeprefix(storage.root).lstrip("/") for path in storage.fs.find(storage.root)]
    return {path: storage.read(path) for path in paths}


async def _sweep_all(faults: list[str], *, save: bool) -> int:
    tally, points = Tally(), set[str]()
    for fault in ["", *faults]:
        with tempfile.TemporaryDirectory() as folder:
            swept = await sweep(fault and f"{fault}x1", Path(folder))
        for number in range(swept.runs):
            tally.run([fault or NO_FAULT], swept.violations if number == 0 else [], CHECKED)
        points |= swept.points
        print(f"{fault or NO_FAULT}: {swept.runs} runs, {len(swept.violations)} violations")
        print(*swept.violations, sep="\n", end="\n" if swept.violations else "", flush=True)
    tally.facts = {"crash points by name": len(points)}
    if save:
        tally.save("sweep")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.sweep", description=__doc__)
    parser.add_argument("faults", nargs="*", default=list(KINDS))
    parser.add_argument("--save", action="store_true", help="save the counts for docs/reliability.md")
    options = parser.parse_args()
    raise SystemExit(asyncio.run(_sweep_all(options.faults, save=options.save)))
