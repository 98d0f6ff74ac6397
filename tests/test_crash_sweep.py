"""Stops a purchase at every crash point in turn, comes back with fresh objects, and checks the invariants.

The witness is the local Runware's ledger: what it accepted, and how often each UUID was submitted.
"""

from functools import partial
from pathlib import Path

import pytest

from adreel import storage
from adreel.crash_points import crash_point, visiting
from adreel.errors import AdreelError
from adreel.jobs import open_scenes, produce_scene, resume_job, start_job
from adreel.local_runware import LocalRunware
from adreel.purchase import Purchase
from adreel.records import Records
from adreel.runware_client import RunwareClient, Timing, connection, shared
from adreel.scenarios import Scenario
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.takes import AttemptState, Take
from adreel.verification import verify
from tests.factories import make_session

JOB = "job-1"
SENT = set(AttemptState) - {AttemptState.PLANNED}
QUICK = Timing(acknowledge=1, doubt=0.1, poll_first=0.02, poll_most=0.02, back_off_most=0.05)
MOST_POINTS = 200


class Crash(BaseException):
    """The end of a process, as far as the code under test can tell."""


class Sweep:
    """One storage and one provider, over as many lives of the buyer as it takes."""

    def __init__(self, server: LocalRunware, folder: Path) -> None:
        self.server = server
        self.settings = Settings(
            runware_url=server.url, ADREEL_STORAGE=str(folder), ADREEL_MODEL="test:1@1", ADREEL_SIZE="64x64"
        )
        self.records.save_session(make_session(seconds=1))

    @property
    def records(self) -> Records:
        return Records(Storage(self.settings.storage))

    @property
    def take(self) -> Take | None:
        return self.records.take("ad", Scenario.HOOK, JOB)

    async def live(self, crash_at: int | None = None) -> list[str]:
        """Buy the scene, retrying as the task does; returns the points that were reached."""
        reached: list[str] = []

        def visit(name: str) -> None:
            reached.append(name)
            if len(reached) == crash_at:
                raise Crash(name)

        with visiting(visit):
            try:
                await self._buy()
            except Crash:
                return reached
        return reached

    async def _buy(self) -> None:
        job = start_job(self.records, self.settings, JOB, "ad", scenarios=[Scenario.HOOK])
        for _ in range(5):
            try:
                await produce_scene(self.records, self.settings, job, Scenario.HOOK)
            except AdreelError as error:
                if not error.retryable:
                    raise
            else:
                return

    async def resume(self) -> None:
        for job, scenarios in open_scenes(self.records, self.settings, "all"):
            resumed = resume_job(self.records, self.settings, job)
            for scenario in scenarios:
                await produce_scene(self.records, self.settings, resumed, scenario)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RunwareClient", partial(RunwareClient, timing=QUICK))


@pytest.mark.parametrize("fault", ["", "providerTimeoutx1", "dropReplyReset", "emptyAcceptance", "gone404x1"])
async def test_a_crash_at_any_point_costs_nothing_twice_and_loses_nothing(fault: str, tmp_path: Path) -> None:
    assert await sweep_all(fault, tmp_path) >= 25, "the sweep has to reach every step of a purchase"


async def sweep_all(fault: str, folder: Path) -> int:
    """Crash at each point in turn and check every invariant; returns the number of points."""
    attempts = 2 if fault == "providerTimeoutx1" else 1
    for crash_at in range(1, MOST_POINTS):
        async with LocalRunware(render_seconds=0, faults=[fault] if fault else []) as server:
            sweep = Sweep(server, folder / str(crash_at))
            reached = await sweep.live(crash_at)
            if len(reached) < crash_at:
                return crash_at - 1
            where = f"{fault or 'no fault'}, crash {crash_at} at {reached[-1]!r}"
            check_after_the_crash(sweep, where)
            progress = sweep.take.progress if sweep.take else 0
            await sweep.live()
            check_at_the_end(sweep, where, attempts, progress)
            await check_that_a_second_resume_does_nothing(sweep, where)
    raise AssertionError(f"a purchase has more than {MOST_POINTS} crash points")


def check_after_the_crash(sweep: Sweep, where: str) -> None:
    take = sweep.take
    known = {str(attempt.uuid): attempt.state for attempt in take.attempts} if take else {}
    for uuid in sweep.server.ledger.submits:
        assert known.get(uuid) in SENT, f"I3 intent first: {where}"


def check_at_the_end(sweep: Sweep, where: str, attempts: int, progress: int) -> None:
    take = sweep.take
    assert take is not None
    assert take.is_stored, where
    accepted = [entry.uuid for entry in sweep.server.ledger.entries]
    assert len(accepted) == attempts, f"I1 charge: {where}"
    assert accepted == [str(attempt.uuid) for attempt in take.attempts], f"I2 no loss: {where}"
    assert verify(sweep.records) == [], f"I5, I6, I11: {where}"
    assert take.progress == 100 >= progress, f"I8 progress: {where}"
    costs = [entry.billed for entry in sweep.server.ledger.entries]
    assert take.cost == (None if None in costs else sum(cost or 0 for cost in costs)), f"I9 cost: {where}"


async def check_that_a_second_resume_does_nothing(sweep: Sweep, where: str) -> None:
    before, submits = contents(sweep), dict(sweep.server.ledger.submits)
    await sweep.resume()
    assert contents(sweep) == before, f"I10 convergence: {where}"
    assert dict(sweep.server.ledger.submits) == submits, f"I10 convergence: {where}"


def contents(sweep: Sweep) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(sweep.settings.storage).rglob("*") if path.is_file()}


async def test_the_sweep_sees_a_submit_without_a_record_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(self: Purchase) -> None:
        self.take.advance(AttemptState.SUBMITTED)

    monkeypatch.setattr(Purchase, "_prepare", forget)
    with pytest.raises(AssertionError, match="I3 intent first"):
        await sweep_all("", tmp_path)


async def test_the_sweep_sees_a_conflict_that_is_not_read_as_an_acceptance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONFLICT", "noSuchCode")
    with pytest.raises(AdreelError, match="conflictTaskUUID"):
        await sweep_all("", tmp_path)


async def test_the_sweep_sees_a_record_that_is_not_replaced_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrite(target: Path, content: bytes) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content[: len(content) // 2])
        crash_point("half written")
        target.write_bytes(content)

    monkeypatch.setattr(storage, "_replace", overwrite)
    with pytest.raises(AdreelError, match="is no good record"):
        await sweep_all("", tmp_path)
