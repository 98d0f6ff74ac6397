"""The crash-point sweep: stops a purchase at each crash point in turn, resumes it with fresh objects, and checks every
invariant by the emulator's ledger, on a real disk or any other storage.

    python -m tests.rigs.sweep [FAULT ...]                 a clip, under all faults of the emulator by default
    python -m tests.rigs.sweep --additions [FAULT ...]     a voice, music and a still, each in a sweep of its own
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from adreel.emulator import LocalRunware
from adreel.emulator.clip_faults import POINTS
from adreel.emulator.faults import KINDS
from adreel.errors import AdreelError, InputError, StorageError
from adreel.models.parts import Addition, Part, kind_of
from adreel.models.scenarios import Scenario
from adreel.models.spend import MICROS, to_micros
from adreel.models.takes import SUBMIT_DEADLINE, Attempt, AttemptState, Job, Take, utc_now
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
from tests.rigs.invariants import IDLE_INVARIANTS, Violation, check_decoded, check_idle_storage, check_kept
from tests.rigs.tally import NO_FAULT, Tally

JOB = "job-1"
CLIP = (Scenario.HOOK,)
ADDITIONS = (Addition.VOICE_HOOK, Addition.MUSIC, Addition.STILL_PROBLEM)
NARRATION = "Light, wherever you are."
SENT = {str(state) for state in AttemptState} - {str(AttemptState.PLANNED)}
QUICK = Timing(acknowledge=0.5, doubt=0.1, look=0.1, silence=0.5, poll_least=0.02, poll_most=0.02, back_off_most=0.05)
MOST_POINTS = 400
ENOUGH = 1000 * MICROS
MOST_TRIES = 12
PEOPLE_ACT = 2
"""Number of resumes after an error that needs a person (no credits, an unknown host)."""
CHECKED = (*IDLE_INVARIANTS, "I10", "I15", "I17")
LASTING = {"neverEnds", "conflictWithoutTask", "contentPolicy", "invalidModel", "invalidParameter"}
"""Faults after which no run can download the file until a person buys it again."""
AFTER_DOUBT = 2 * SUBMIT_DEADLINE


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
        self,
        server: LocalRunware,
        url: str,
        image: Path,
        options: dict[str, Any] | None = None,
        *,
        key: str = "",
        parts: Sequence[Part] = CLIP,
    ) -> None:
        self.server = server
        self.image = image
        self.parts = parts
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
        session.scene(Scenario.HOOK).dialog_narration = NARRATION
        session.scene(Scenario.PROBLEM).references = [str(image)]
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
    def takes(self) -> dict[Part, Take]:
        """Read the takes."""
        found = {part: self.records.take("ad", part, JOB) for part in self.parts}
        return {part: take for part, take in found.items() if take is not None}

    @property
    def attempts(self) -> list[tuple[Take, Attempt]]:
        """Read the attempts of all takes."""
        return [(take, attempt) for take in self.takes.values() for attempt in take.attempts]

    async def live(self, crash_at: int | None = None) -> tuple[list[str], AdreelError | None]:
        """Buy the parts with the task's retries. Returns the crash points reached and the last error."""
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
        job = start_job(self.records, self.settings, JOB, "ad", scenarios=self.parts)
        ended = [await self._try(job, part) for part in self.parts]
        Budgets(self.records).settle(job)
        return next(filter(None, ended), None)

    async def _try(self, job: Job, part: Part) -> AdreelError | None:
        ended: AdreelError | None = None
        for _ in range(MOST_TRIES):
            try:
                await buy_scene(self.records, self.settings, job, part)
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


async def sweep(
    fault: str,
    folder: Path | str,
    options: dict[str, Any] | None = None,
    *,
    key: str = "",
    parts: Sequence[Part] = CLIP,
) -> Swept:
    """Crash at each point in turn under one fault ("" for none), then resume. The folder can be a storage's URL.

    One job buys the parts one after the other. With a key, the image is uploaded.
    """
    swept = Swept()
    with (
        patch.object(shared_client, "RunwareClient", partial(RunwareClient, timing=QUICK)),
        tempfile.TemporaryDirectory() as images,
    ):
        for crash_at in range(1, MOST_POINTS):
            async with LocalRunware(render_seconds=0, drip_seconds=0, faults=[fault] if fault else []) as server:
                life = Life(
                    server, f"{folder}/{crash_at}", Path(images) / f"{crash_at}.png", options, key=key, parts=parts
                )
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
    before = life.takes
    if life.records.job(JOB):
        life.move()
    swept.see("I3", where, *_unrecorded(life))
    swept.see("I17", where, *_unheld(life))
    for _ in range(PEOPLE_ACT):
        _, error = await life.live()
        if error is None:
            break
    if any(take.is_in_doubt for take in life.takes.values()):
        await _end_doubt(life)
    for found in [
        *check_idle_storage(life.records, life.server.ledger),
        *check_kept(life.records, life.server.ledger),
        *check_decoded(life.records),
    ]:
        swept.see(found.invariant, where, found.text)
    swept.see("I17", where, *_wrong_budget(life))
    for part in life.parts:
        take, earlier = life.takes.get(part), before.get(part)
        if take is None or (earlier and take.progress < earlier.progress):
            swept.see("I8", where, f"the progress of {part} has gone back")
        if not (take and (take.is_stored or take.aside)) and not fault.startswith(tuple(LASTING)):
            swept.see("I2", where, f"{part} is not home: {error}")
    await _resume_again(swept, life, where)


async def _end_doubt(life: Life) -> None:
    """Resume once no other runner can send a task that was refused."""
    later = utc_now() + AFTER_DOUBT
    with (
        patch("adreel.models.takes.utc_now", lambda: later),
        patch("adreel.spend.budgets.utc_now", lambda: later),
    ):
        await life.resume()


async def _resume_again(swept: Swept, life: Life, where: str) -> None:
    before, submits = _contents(life), dict(life.server.ledger.submits)
    is_open = bool(open_scenes(life.records, life.settings, "all"))
    await life.resume()
    if dict(life.server.ledger.submits) != submits or (_contents(life) != before and not is_open):
        swept.see("I10", where, "a second resume did something")


def _unrecorded(life: Life) -> Iterator[str]:
    known = {str(attempt.uuid): str(attempt.state) for _, attempt in life.attempts}
    return (uuid for uuid in life.server.ledger.submits if known.get(uuid) not in SENT)


def _unheld(life: Life) -> Iterator[str]:
    """Yield the tasks that may still be billed and are not held."""
    final = {str(attempt.uuid) for _, attempt in life.attempts if attempt.is_final}
    return (uuid for uuid in life.server.ledger.submits if uuid not in {*final, *life.records.budgets().open})


def _wrong_budget(life: Life) -> Iterator[str]:
    """Yield what the budget counts otherwise than the records, once it is reconciled."""
    Budgets(life.records).reconcile()
    [view] = Budgets(life.records).views()
    final = [(take, attempt) for take, attempt in life.attempts if attempt.is_final]
    costs = [take.estimate if (cost := take.cost_of(attempt)) is None else cost for take, attempt in final]
    if view.spent != sum(to_micros(cost or 0) for cost in costs):
        yield f"{view.spent} are counted, not {costs}"
    held = set(life.records.budgets().open)
    unsent = {str(take.unsent_task(99)) for take in life.takes.values()}
    if not held <= {str(attempt.uuid) for _, attempt in life.attempts if attempt.is_open} | unsent:
        yield f"{held} are held"


def _contents(life: Life) -> dict[str, bytes]:
    storage = life.records.storage
    paths = [path.removeprefix(storage.root).lstrip("/") for path in storage.fs.find(storage.root)]
    return {path: storage.read(path) for path in paths}


def strikes(fault: str, part: Part) -> bool:
    """Whether a fault can strike a part: those of files are of one kind."""
    point = KINDS[fault].point
    return point not in POINTS.values() or point == POINTS[kind_of(part)]


def _sweep_all(faults: list[str], parts: Sequence[Part], rig: str) -> int:
    """Sweep each part by itself, and save the counts for docs/reliability.md if a rig is named."""
    tally, points, runs = Tally(), set[str](), Counter[str]()
    cases = [(fault, part) for fault in ["", *faults] for part in parts if not fault or strikes(fault, part)]
    # Most of a sweep is waiting.
    with ProcessPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        for (fault, part), swept in zip(cases, pool.map(_sweep_once, cases), strict=True):
            for number in range(swept.runs):
                tally.run([fault or NO_FAULT], swept.violations if number == 0 else [], CHECKED)
            points |= swept.points
            runs[f"crashes of a {kind_of(part)} purchase"] += swept.runs
            print(f"{part}, {fault or NO_FAULT}: {swept.runs} runs, {len(swept.violations)} violations")
            print(*swept.violations, sep="\n", end="\n" if swept.violations else "", flush=True)
    tally.facts = {"crash points by name": len(points), **runs}
    if rig:
        tally.save(rig)
    return 1 if tally.violations else 0


def _sweep_once(case: tuple[str, Part]) -> Swept:
    fault, part = case
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(sweep(fault and f"{fault}x1", Path(folder), parts=[part]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.sweep", description=__doc__)
    parser.add_argument("faults", nargs="*", default=list(KINDS))
    parser.add_argument("--additions", action="store_true", help="buy a voice, music and a still instead of a clip")
    parser.add_argument("--save", action="store_true", help="save the counts for docs/reliability.md")
    options = parser.parse_args()
    rig = "sweep_of_additions" if options.additions else "sweep"
    parts = ADDITIONS if options.additions else CLIP
    raise SystemExit(_sweep_all(options.faults, parts, rig if options.save else ""))
